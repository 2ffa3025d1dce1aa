"""`TimmBackbone`: any model of timm that gives features, from ConvNeXt to Swin."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError, MissingPackageError
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
        freeze_at: stages frozen from the input on: 0 none, 1 what comes before the features, or
            what gives the first one if that has stride 2; 2 what gives the feature of stride 4 too,
            ... See `freeze`. Models that give their features in another way than layer after layer
            (HRNet, plain vision transformers) have no stages.

    Raises:
        MissingPackageError: timm is not installed.
        ConfigError: timm does not know the model, or it gives no features, or not those asked for;
            or there are not as many stages to freeze.
    """

    @configurable
    def __init__(
        self,
        *,
        name: str,
        in_channels: int = 3,
        out_indices: Sequence[int] = (),
        pretrained: bool = False,
        freeze_at: int = 0,
    ):
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise MissingPackageError(
                "build_timm_backbone needs the package timm: pip install timm"
            ) from error
        try:
            self.net = _create(timm, name, out_indices, in_chans=in_channels, pretrained=pretrained)
        except (RuntimeError, IndexError, AssertionError, AttributeError) as error:
            match = "" if timm.is_model(name) else closest(name, timm.list_models())
            raise ConfigError(
                f"MODEL.TIMM: timm {timm.__version__} gives no features "
                f"{list(out_indices) or '(all)'} of '{name}': {error}."
                + (f" Did you mean '{match}'?" if match else "")
            ) from error
        self._is_nhwc = getattr(self.net, "output_fmt", "NCHW") == "NHWC"
        info = self.net.feature_info
        for index, channels, reduction in zip(
            info.out_indices, info.channels(), info.reduction(), strict=True
        ):
            self.add_feature(f"f{index}", channels, reduction)
        self.size_divisibility = max(info.reduction())
        self.pretrained = pretrained
        self.freeze(freeze_at)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        c = cfg.MODEL.TIMM
        return {
            "name": c.NAME,
            "in_channels": input_shape.channels,
            "out_indices": c.OUT_INDICES,
            "pretrained": c.PRETRAINED,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.net(x)
        if self._is_nhwc:
            features = [f.permute(0, 3, 1, 2) for f in features]
        return dict(zip(self.out_features, features, strict=True))

    def stages(self) -> list[list[str]]:
        """The layers in front of the features, unless one of stride 2 ends them, and those up to
        each feature."""
        layers = _layers_in_order(self.net)
        infos = self.net.feature_info.info
        stages: list[list[str]] = []
        start = 0
        for info in infos:
            # timm joins the names of nested modules: "stages.0" may be the child "stages_0".
            names = {info["module"], info["module"].replace(".", "_")}
            end = next((i for i, name in enumerate(layers, 1) if name in names), None)
            if end is None:
                # Layers behind the last feature asked for are not built.
                break
            if not stages and info["reduction"] > 2 and end > 1:
                stages.append(layers[: end - 1])
                start = end - 1
            stages.append(layers[start:end])
            start = end
        return [[f"net.{name}" for name in stage] for stage in stages]

    def _freeze_layer(self, name: str) -> None:
        from timm.utils import freeze

        # timm's batch norms may hold an activation, which theirs keeps.
        freeze(self, name)


def _layers_in_order(net: nn.Module) -> list[str]:
    """Names of the children, and in place of the one "blocks" of those inside it."""
    return [
        f"{name}.{inner}" if inner else name
        for name, child in net.named_children()
        for inner in (dict(child.named_children()) if name == "blocks" else [""])
    ]


def _create(timm: ModuleType, name: str, out_indices: Sequence[int], **options: Any) -> Any:
    """timm's module, a ``FeatureListNet`` or its like."""
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
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    """Any timm model with features, from ``MODEL.TIMM`` and ``MODEL.BACKBONE.FREEZE_AT``."""
    return TimmBackbone(cfg, input_shape)
