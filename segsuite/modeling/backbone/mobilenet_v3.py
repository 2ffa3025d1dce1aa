"""MobileNetV3 (Howard et al. 2019, https://arxiv.org/abs/1905.02244): torchvision's, by feature."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torchvision
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import UnknownNameError
from segsuite.layers import FrozenBatchNorm2d, LayerNorm2d, ShapeSpec, get_norm
from segsuite.utils.registry import unknown_name

from .backbone import Backbone
from .build import BACKBONE_REGISTRY

_BUILDERS = {
    "large": torchvision.models.mobilenet_v3_large,
    "small": torchvision.models.mobilenet_v3_small,
}


class MobileNetV3(Backbone):
    """MobileNetV3, large or small, without the classifier.

    Features: "conv1" (stride 2), "block1", "block2", ... and "conv_last", the 1x1 convolution
    behind them. Layers behind the last feature asked for are not built. Parameters are named as in
    torchvision: ``features.<index>.*``, 0 for "conv1".

    =====  ========  ========  ========  =========  ==========================
    size   stride 2  stride 4  stride 8  stride 16  stride 32 (16 if dilated)
    =====  ========  ========  ========  =========  ==========================
    large  conv1-b1  b2-b3     b4-b6     b7-b12     b13-b15, conv_last
    small  conv1     b1        b2-b3     b4-b8      b9-b11, conv_last
    =====  ========  ========  ========  =========  ==========================

    Args:
        size: "large" or "small".
        norm: see `get_norm`; batch norms have the paper's epsilon (1e-3) and momentum (0.01).
        width_mult: factor on all channels, which are rounded to multiples of 8.
        dilated: the last stage keeps stride 16; its depthwise kernels are dilated by 2.
        freeze_at: layers fixed from the input on: 0 none, 1 those of stride 2, 2 down to stride 4,
            ... See `freeze`.

    Raises:
        UnknownNameError: unknown size or feature.
    """

    @configurable
    def __init__(
        self,
        *,
        size: str = "large",
        in_channels: int = 3,
        out_features: Sequence[str] = ("conv_last",),
        norm: str = "BN",
        width_mult: float = 1.0,
        dilated: bool = False,
        freeze_at: int = 0,
    ):
        super().__init__()
        if size not in _BUILDERS:
            raise UnknownNameError(unknown_name(size, _BUILDERS, "sizes of MobileNetV3"))
        layers = _BUILDERS[size](
            weights=None, norm_layer=partial(_norm, norm), width_mult=width_mult, dilated=dilated
        ).features
        names = ["conv1", *(f"block{i}" for i in range(1, len(layers) - 1)), "conv_last"]
        self._names = self.choose_features(out_features, names)
        self.features = layers[: len(self._names)]
        if in_channels != 3:
            first = self.features[0][0]
            self.features[0][0] = nn.Conv2d(
                in_channels, first.out_channels, 3, stride=2, padding=1, bias=False
            )
            nn.init.kaiming_normal_(self.features[0][0].weight, mode="fan_out")
        stride = 1
        for name, layer in zip(self._names, self.features, strict=True):
            convs = [m for m in layer.modules() if isinstance(m, nn.Conv2d)]
            if any(conv.stride[0] == 2 for conv in convs):
                stride *= 2
            self.add_feature(name, layer.out_channels, stride)
        self.hidden_settings = {"MODEL.MOBILENET.DILATED": dilated}
        self.freeze(freeze_at)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        c = cfg.MODEL.MOBILENET
        return {
            "size": c.SIZE,
            "in_channels": input_shape.channels,
            "out_features": c.OUT_FEATURES,
            "norm": c.NORM,
            "width_mult": c.WIDTH_MULT,
            "dilated": c.DILATED,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = {}
        for name, layer in zip(self._names, self.features, strict=True):
            x = features[name] = layer(x)
        return self.chosen(features)

    def stages(self) -> list[list[str]]:
        """The layers of stride 2, of stride 4, ... as far as they are built."""
        stages: dict[int, list[str]] = {}
        for i, name in enumerate(self._names):
            stages.setdefault(self._out_feature_strides[name], []).append(f"features.{i}")
        return list(stages.values())

    def blocks(self) -> list[str]:
        """The inverted residuals, and the convolutions before and behind them."""
        return [f"features.{i}" for i in range(len(self._names))]


def _norm(name: str, channels: int) -> nn.Module:
    norm = get_norm(name, channels) or nn.Identity()
    if isinstance(norm, (nn.BatchNorm2d, FrozenBatchNorm2d, LayerNorm2d)):
        norm.eps = 1e-3
    if isinstance(norm, nn.BatchNorm2d):
        norm.momentum = 0.01
    return norm


@BACKBONE_REGISTRY.register()
def build_mobilenet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> MobileNetV3:
    """MobileNetV3 from ``MODEL.MOBILENET`` and ``MODEL.BACKBONE.FREEZE_AT``."""
    return MobileNetV3(cfg, input_shape)
