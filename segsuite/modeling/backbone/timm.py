"""`TimmBackbone`: any model of timm that gives features, from ConvNeXt to Swin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError, MissingPackageError
from segsuite.layers import ShapeSpec, get_norm, set_layer_norm_eps
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
        pad_before_shift: of a Swin Transformer, pad maps before their windows are shifted, and
            shift them at every size, as the authors do for dense prediction and Hugging Face and
            MMSegmentation after them. timm shifts first, and not at all in stages that are one
            window at the size that the model is made for.
        feature_norm: norm of each feature that is returned, "" for none: see `get_norm`. Hugging
            Face and MMSegmentation have "LN" on transformers and ConvNeXt, for all heads.
        feature_norm_eps: epsilon of "LN".
        freeze_at: stages frozen from the input on: 0 none, 1 what comes before the features, or
            what gives the first one if that has stride 2; 2 what gives the feature of stride 4 too,
            ... See `freeze`. Models that give their features in another way than layer after layer
            (HRNet, plain vision transformers) have no stages.

    Attributes:
        net_name: `name` without its tag.

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
        pad_before_shift: bool = False,
        feature_norm: str = "",
        feature_norm_eps: float = 1e-6,
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
        self.net_name = name.partition(".")[0]
        self.hidden_settings = {"MODEL.TIMM.NAME": self.net_name}
        if pad_before_shift or "swin" in name:
            self.hidden_settings["MODEL.TIMM.PAD_BEFORE_SHIFT"] = pad_before_shift
        if pad_before_shift and not _pad_before_shift(self.net):
            raise ConfigError(
                f"MODEL.TIMM.PAD_BEFORE_SHIFT is for Swin Transformers, and '{name}' is none"
            )
        self._is_nhwc = getattr(self.net, "output_fmt", "NCHW") == "NHWC"
        info = self.net.feature_info
        for index, channels, reduction in zip(
            info.out_indices, info.channels(), info.reduction(), strict=True
        ):
            self.add_feature(f"f{index}", channels, reduction)
        self.size_divisibility = max(info.reduction())
        self.norms: nn.ModuleDict | None = None
        if feature_norm:
            self.norms = nn.ModuleDict()
            for feature, shape in self.output_shape().items():
                self.norms[feature] = get_norm(feature_norm, shape.channels) or nn.Identity()
            set_layer_norm_eps(self.norms, feature_norm_eps)
        self.hidden_settings["MODEL.TIMM.FEATURE_NORM"] = feature_norm
        if feature_norm == "LN":
            self.hidden_settings["MODEL.TIMM.FEATURE_NORM_EPS"] = feature_norm_eps
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
            "pad_before_shift": c.PAD_BEFORE_SHIFT,
            "feature_norm": c.FEATURE_NORM,
            "feature_norm_eps": c.FEATURE_NORM_EPS,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.net(x)
        if self._is_nhwc:
            features = [f.permute(0, 3, 1, 2) for f in features]
        if self.norms is not None:
            norms = self.norms.values()
            features = [norm(f) for norm, f in zip(norms, features, strict=True)]
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

    def blocks(self) -> list[str]:
        """What timm has in lists called "blocks"; else what the stages are sequences of."""
        names = [name for name, _ in self.named_modules() if name.endswith("blocks")]
        names = names or [name for stage in self.stages() for name in stage]
        lists = {name: self.get_submodule(name) for name in names}
        return [
            f"{name}.{inner}"
            for name, module in lists.items()
            if isinstance(module, (nn.Sequential, nn.ModuleList))
            for inner, _ in module.named_children()
        ]

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


def _pad_before_shift(net: nn.Module) -> bool:
    """Let the blocks of timm's Swin Transformer in `net` pad first; whether there are any."""
    from timm.models.swin_transformer import SwinTransformerBlock

    blocks: list[Any] = [m for m in net.modules() if type(m) is SwinTransformerBlock]
    for block in blocks:
        block.always_partition = True
        block.shift_size = block.target_shift_size
        block._attn = partial(_attention_in_padded_windows, block)
    return bool(blocks)


def _attention_in_padded_windows(block: Any, x: torch.Tensor) -> torch.Tensor:
    """The attention of timm's `block` on (N, H, W, C), which is padded, and then shifted."""
    from timm.models.swin_transformer import window_partition, window_reverse

    height, width, channels = x.shape[1:]
    (window_h, window_w), shift = block.window_size, tuple(block.shift_size)
    x = F.pad(x, (0, 0, 0, -width % window_w, 0, -height % window_h))
    padded_h, padded_w = x.shape[1:3]
    x = x.roll((-shift[0], -shift[1]), (1, 2))
    windows = window_partition(x, block.window_size).view(-1, window_h * window_w, channels)
    windows = block.attn(windows, mask=block.get_attn_mask(x))
    windows = windows.view(-1, window_h, window_w, channels)
    x = window_reverse(windows, block.window_size, padded_h, padded_w).roll(shift, (1, 2))
    return x[:, :height, :width].contiguous()


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    """Any timm model with features, from ``MODEL.TIMM`` and ``MODEL.BACKBONE.FREEZE_AT``."""
    return TimmBackbone(cfg, input_shape)
