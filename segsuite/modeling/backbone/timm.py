"""`TimmBackbone`: any model of timm that gives features, from ConvNeXt to Swin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from segsuite.config import configurable
from segsuite.layers import ShapeSpec
from segsuite.utils.registry import closest

from .backbone import Backbone
from .build import BACKBONE_REGISTRY


class TimmBackbone(Backbone):
    """A timm model built with ``features_only=True``.

    Features are called "f0", "f1", ... by timm's index, finest first. They are (N, C, H, W) also
    where the model itself works on (N, H, W, C).

    Args:
        name: of the model, as ``timm.list_models()`` has it; a tag may follow: "resnet50.a1_in1k".
        out_indices: of the features to return; empty for all. Not every model leaves out
            the layers behind the last; those have no gradient (several GPUs then refuse to train).
        pretrained: load timm's weights for the model, which are downloaded.

    Raises:
        ImportError: timm is not installed.
        ValueError: timm does not know the model, or it gives no features, or not those asked for.
    """

    @configurable
    def __init__(
        self,
        *,
        name: str,
        in_channels: int = 3,
        out_indices: Sequence[int] = (),
        pretrained: bool = False,
    ):
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise ImportError(
                "build_timm_backbone needs the package timm: pip install timm"
            ) from error
        try:
            self.net = _create(timm, name, out_indices, in_chans=in_channels, pretrained=pretrained)
        except (RuntimeError, IndexError, AssertionError, AttributeError) as error:
            match = "" if timm.is_model(name) else closest(name, timm.list_models())
            raise ValueError(
                f"MODEL.TIMM: timm {timm.__version__} gives no features "
                f"{list(out_indices) or '(all)'} of '{name}': {error}."
                + (f" Did you mean '{match}'?" if match else "")
            ) from error
        self._is_nhwc = getattr(self.net, "output_fmt", "NCHW") == "NHWC"
        info = self.net.feature_info
        self._shapes = {
            f"f{index}": ShapeSpec(channels, reduction)
            for index, channels, reduction in zip(
                info.out_indices, info.channels(), info.reduction(), strict=True
            )
        }
        self.size_divisibility = max(info.reduction())

    @classmethod
    def from_config(cls, cfg, input_shape: ShapeSpec) -> dict:
        if cfg.MODEL.BACKBONE.FREEZE_AT:
            raise ValueError(
                f"MODEL.BACKBONE.FREEZE_AT is {cfg.MODEL.BACKBONE.FREEZE_AT}; the stages of timm's "
                "models cannot be frozen one by one: set it to 0"
            )
        c = cfg.MODEL.TIMM
        return {
            "name": c.NAME,
            "in_channels": input_shape.channels,
            "out_indices": c.OUT_INDICES,
            "pretrained": c.PRETRAINED,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.net(x)
        if self._is_nhwc:
            features = [f.permute(0, 3, 1, 2) for f in features]
        return dict(zip(self._shapes, features, strict=True))

    def output_shape(self) -> dict[str, ShapeSpec]:
        return dict(self._shapes)


def _create(timm, name: str, out_indices: Sequence[int], **options) -> nn.Module:
    if out_indices:
        options["out_indices"] = tuple(out_indices)
    # What lets transformers made for one image size take others; each kind knows one at most.
    for any_size in ({"strict_img_size": False}, {"dynamic_img_size": True}, {}):
        try:
            return timm.create_model(name, features_only=True, **options, **any_size)
        except TypeError:
            if not any_size:
                raise
    raise AssertionError("not reached")


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg, input_shape: ShapeSpec) -> TimmBackbone:
    """Any timm model with features, from ``MODEL.TIMM``."""
    return TimmBackbone(cfg, input_shape)
