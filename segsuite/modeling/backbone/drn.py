"""Dilated residual networks (Yu et al. 2017, https://arxiv.org/abs/1705.09914)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import UnknownNameError
from segsuite.layers import ShapeSpec, get_norm
from segsuite.ops import conv_epilogue_
from segsuite.utils.registry import unknown_name

from .backbone import Backbone
from .build import BACKBONE_REGISTRY

# Blocks of layer1 to layer8, and whether those of layer3 to layer6 are bottlenecks.
_VARIANTS = {
    "C-26": ((1, 1, 2, 2, 2, 2, 1, 1), False),
    "C-42": ((1, 1, 3, 4, 6, 3, 1, 1), False),
    "C-58": ((1, 1, 3, 4, 6, 3, 1, 1), True),
    "D-22": ((1, 1, 2, 2, 2, 2, 1, 1), False),
    "D-38": ((1, 1, 3, 4, 6, 3, 1, 1), False),
    "D-54": ((1, 1, 3, 4, 6, 3, 1, 1), True),
    "D-105": ((1, 1, 3, 4, 23, 3, 1, 1), True),
}
_WIDTHS = (1, 2, 4, 8, 16, 32, 32, 32)
_STRIDES = (1, 2, 2, 2, 1, 1, 1, 1)
_DILATIONS = (1, 1, 1, 1, 2, 4, 2, 1)


class DRN(Backbone):
    """DRN-C-26/42/58 and DRN-D-22/38/54/105, without the classifier.

    Features "layer1" to "layer8" with strides 1, 2, 4 and 8: dilation keeps the resolution of
    layer4, and layer7 and layer8, without shortcuts and with decreasing dilation, remove the
    gridding that it leaves. Layers behind the last feature asked for are not built. Parameters are
    named as in the checkpoints that the authors published.

    Args:
        variant: "C-26", ..., "D-105".
        out_features: names of the features to return.
        norm: see `get_norm`.
        base_channels: of the first layers; the last ones have 32 times as many.
        freeze_at: layers frozen from the input on: 0 none, 1 the first convolution, 2 layer1 too,
            ... See `freeze`.

    Raises:
        UnknownNameError: unknown variant or feature.
    """

    @configurable
    def __init__(
        self,
        *,
        variant: str = "D-22",
        in_channels: int = 3,
        out_features: Sequence[str] = ("layer8",),
        norm: str = "BN",
        base_channels: int = 16,
        freeze_at: int = 0,
    ):
        super().__init__()
        names = [f"layer{i}" for i in range(1, 9)]
        self.layer_names = self.choose_features(out_features, names)
        if variant not in _VARIANTS:
            raise UnknownNameError(unknown_name(variant, _VARIANTS, "variants of DRN"))
        blocks, bottleneck = _VARIANTS[variant]
        plain = variant.startswith("D")
        if plain:
            self.layer0 = _plain_layer(in_channels, base_channels, 7, norm)
        else:
            self.conv1 = _conv(in_channels, base_channels, 7)
            self.bn1 = _norm(norm, base_channels)
        channels, stride = base_channels, 1
        for i, name in enumerate(self.layer_names):
            width, dilation = base_channels * _WIDTHS[i], _DILATIONS[i]
            if plain and i in (0, 1, 6, 7):
                layer = _plain_layer(channels, width, 3, norm, _STRIDES[i], dilation)
                channels = width
            else:
                block = _Bottleneck if bottleneck and 2 <= i < 6 else _BasicBlock
                layer = nn.Sequential()
                for j in range(blocks[i]):
                    layer.append(
                        block(
                            channels,
                            width,
                            stride=_STRIDES[i] if j == 0 else 1,
                            dilation=dilation,
                            residual=i < 6,
                            norm=norm,
                        )
                    )
                    channels = width * block.expansion
            self.add_module(name, layer)
            stride *= _STRIDES[i]
            self.add_feature(name, channels, stride)
        self.freeze(freeze_at)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        c = cfg.MODEL.DRN
        return {
            "variant": c.VARIANT,
            "in_channels": input_shape.channels,
            "out_features": c.OUT_FEATURES,
            "norm": c.NORM,
            "base_channels": c.BASE_CHANNELS,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.layer0(x) if hasattr(self, "layer0") else F.relu_(self.bn1(self.conv1(x)))
        features = {}
        for name in self.layer_names:
            x = features[name] = getattr(self, name)(x)
        return self.chosen(features)

    def stages(self) -> list[list[str]]:
        """The first convolution with its norm, layer1, layer2, ... as far as they are built."""
        first = [name for name, _ in self.named_children() if name not in self.layer_names]
        return [first, *([name] for name in self.layer_names)]

    def blocks(self) -> list[str]:
        """The residual blocks."""
        return self.names_of(_BasicBlock, _Bottleneck)


class _BasicBlock(nn.Module):
    expansion = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int,
        dilation: int,
        residual: bool,
        norm: str,
    ):
        super().__init__()
        self.residual = residual
        self.conv1 = _conv(in_channels, width, 3, stride, dilation)
        self.bn1 = _norm(norm, width)
        self.conv2 = _conv(width, width, 3, 1, dilation)
        self.bn2 = _norm(norm, width)
        self.downsample = _downsample(in_channels, width, stride, norm) if residual else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu_(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if not self.residual:
            return F.relu_(out)
        shortcut = x if self.downsample is None else self.downsample(x)
        return conv_epilogue_(out, residual=shortcut, relu=True)


class _Bottleneck(nn.Module):
    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int,
        dilation: int,
        residual: bool,
        norm: str,
    ):
        super().__init__()
        self.conv1 = _conv(in_channels, width, 1)
        self.bn1 = _norm(norm, width)
        self.conv2 = _conv(width, width, 3, stride, dilation)
        self.bn2 = _norm(norm, width)
        self.conv3 = _conv(width, 4 * width, 1)
        self.bn3 = _norm(norm, 4 * width)
        self.downsample = _downsample(in_channels, 4 * width, stride, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu_(self.bn1(self.conv1(x)))
        out = F.relu_(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        return conv_epilogue_(out, residual=shortcut, relu=True)


def _downsample(in_channels: int, out_channels: int, stride: int, norm: str) -> nn.Module | None:
    if in_channels == out_channels and stride == 1:
        return None
    return nn.Sequential(_conv(in_channels, out_channels, 1, stride), _norm(norm, out_channels))


def _plain_layer(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    norm: str,
    stride: int = 1,
    dilation: int = 1,
) -> nn.Sequential:
    return nn.Sequential(
        _conv(in_channels, out_channels, kernel_size, stride, dilation),
        _norm(norm, out_channels),
        nn.ReLU(inplace=True),
    )


def _norm(name: str, channels: int) -> nn.Module:
    return get_norm(name, channels) or nn.Identity()


def _conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1
) -> nn.Conv2d:
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        bias=False,
    )
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


@BACKBONE_REGISTRY.register()
def build_drn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> DRN:
    """DRN from ``MODEL.DRN`` and ``MODEL.BACKBONE.FREEZE_AT``."""
    return DRN(cfg, input_shape)
