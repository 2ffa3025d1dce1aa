"""Residual networks (He et al. 2016) and ResNeXt (Xie et al. 2017), dilated on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.layers import CNNBlockBase, Conv2d, ShapeSpec
from segsuite.utils.registry import unknown_name

from .backbone import Backbone
from .build import BACKBONE_REGISTRY

_BLOCKS_PER_STAGE = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


class BasicBlock(CNNBlockBase):
    """Two 3x3 convolutions and a shortcut: the block of ResNet-18 and 34."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        avg_down: bool = False,
        norm: str = "BN",
    ):
        super().__init__(in_channels, out_channels, stride)
        self.shortcut = _shortcut(in_channels, out_channels, stride, avg_down, norm)
        self.conv1 = Conv2d(
            in_channels,
            out_channels,
            3,
            stride=stride,
            dilation=dilation,
            norm=norm,
            activation=F.relu_,
        )
        self.conv2 = Conv2d(
            out_channels, out_channels, 3, dilation=dilation, norm=norm, activation=F.relu_
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2(self.conv1(x), residual=self.shortcut(x))


class BottleneckBlock(CNNBlockBase):
    """1x1, 3x3 and 1x1 convolutions and a shortcut: the block of ResNet-50 and deeper.

    Args:
        stride_in_1x1: the stride sits on the first 1x1 (the original) or on the 3x3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bottleneck_channels: int,
        stride: int = 1,
        dilation: int = 1,
        num_groups: int = 1,
        stride_in_1x1: bool = False,
        avg_down: bool = False,
        norm: str = "BN",
    ):
        super().__init__(in_channels, out_channels, stride)
        stride_1x1, stride_3x3 = (stride, 1) if stride_in_1x1 else (1, stride)
        self.shortcut = _shortcut(in_channels, out_channels, stride, avg_down, norm)
        self.conv1 = Conv2d(
            in_channels,
            bottleneck_channels,
            1,
            stride=stride_1x1,
            norm=norm,
            activation=F.relu_,
        )
        self.conv2 = Conv2d(
            bottleneck_channels,
            bottleneck_channels,
            3,
            stride=stride_3x3,
            dilation=dilation,
            groups=num_groups,
            norm=norm,
            activation=F.relu_,
        )
        self.conv3 = Conv2d(bottleneck_channels, out_channels, 1, norm=norm, activation=F.relu_)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv3(self.conv2(self.conv1(x)), residual=self.shortcut(x))


def _shortcut(
    in_channels: int, out_channels: int, stride: int, avg_down: bool, norm: str
) -> nn.Module:
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    if avg_down and stride > 1:
        return _AverageShortcut(in_channels, out_channels, 1, norm=norm)
    return Conv2d(in_channels, out_channels, 1, stride=stride, norm=norm)


class _AverageShortcut(Conv2d):
    """Averages of 2x2 pixels, then the convolution: nothing of the input is skipped."""

    def forward(
        self, x: torch.Tensor, residual: torch.Tensor | None = None, upsample: bool = False
    ) -> torch.Tensor:
        x = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
        return super().forward(x, residual, upsample)


class BasicStem(nn.Module):
    """A 7x7 convolution of stride 2. (The pooling behind it is ResNet's.)"""

    def __init__(self, in_channels: int, out_channels: int, *, norm: str = "BN"):
        super().__init__()
        self.conv1 = Conv2d(in_channels, out_channels, 7, stride=2, norm=norm, activation=F.relu_)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv1(x)


class DeepLabStem(nn.Module):
    """Three 3x3 convolutions, the first one of stride 2: the stem of DeepLab and ResNet-D."""

    def __init__(self, in_channels: int, out_channels: int, *, norm: str = "BN"):
        super().__init__()
        middle = out_channels // 2
        options: dict[str, Any] = {"norm": norm, "activation": F.relu_}
        self.conv1 = Conv2d(in_channels, middle, 3, stride=2, **options)
        self.conv2 = Conv2d(middle, middle, 3, **options)
        self.conv3 = Conv2d(middle, out_channels, 3, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv3(self.conv2(self.conv1(x)))


_STEMS = {"basic": BasicStem, "deeplab": DeepLabStem}


def make_stage(
    block: type[nn.Module],
    in_channels: int,
    out_channels: int,
    *,
    stride: int,
    dilations: Sequence[int],
    **block_kwargs: Any,
) -> nn.Sequential:
    """One block per entry of `dilations`; the first one has the stride and changes the channels."""
    blocks = []
    for i, dilation in enumerate(dilations):
        blocks.append(
            block(
                in_channels if i == 0 else out_channels,
                out_channels,
                stride=stride if i == 0 else 1,
                dilation=dilation,
                **block_kwargs,
            )
        )
    return nn.Sequential(*blocks)


class ResNet(Backbone):
    """ResNet-18/34/50/101/152, ResNeXt and their variants, without the classifier.

    Features: "conv1" (stride 2, before the pooling), "stem" (4), "res2" (4), "res3" (8), "res4"
    (16), "res5" (32); a dilated stage keeps the stride of the one before it. Stages behind the last
    feature asked for are not built. Parameters are named as in Detectron2.

    Args:
        depth: 18, 34, 50, 101 or 152.
        out_features: names of the features to return.
        norm: see `get_norm`.
        num_groups, width_per_group: of the 3x3 convolutions; (32, 8) makes ResNeXt-101-32x8d.
        stem_type: "basic" (7x7) or "deeplab" (three 3x3).
        stem_out_channels, res2_out_channels: widths of stem and res2; res3 to res5 double it.
        stride_in_1x1: see `BottleneckBlock`.
        avg_down: strided shortcuts average 2x2 pixels first. With the stem of DeepLab this is
            ResNet-D (He et al. 2019, https://arxiv.org/abs/1812.01187).
        res4_dilation, res5_dilation: more than 1 replaces the stage's stride.
        dilate_first_block: False leaves the first block of a dilated stage at the dilation of the
            stage before, as torchvision and timm do. (Of ResNet-18 and 34 timm dilates the second
            convolution of that block.)
        res5_multi_grid: factors on the dilation of each block of res5, as in DeepLab.
        freeze_at: stages frozen from the input on: 0 none, 1 the stem, 2 the stem and res2, ...
            See `freeze`.

    Raises:
        UnknownNameError: unknown depth, stem or feature.
        ConfigError: an option that blocks of this depth do not have.
    """

    @configurable
    def __init__(
        self,
        *,
        depth: int = 50,
        in_channels: int = 3,
        out_features: Sequence[str] = ("res5",),
        norm: str = "BN",
        num_groups: int = 1,
        width_per_group: int = 64,
        stem_type: str = "basic",
        stem_out_channels: int = 64,
        res2_out_channels: int | None = None,
        stride_in_1x1: bool = False,
        avg_down: bool = False,
        res4_dilation: int = 1,
        res5_dilation: int = 1,
        dilate_first_block: bool = True,
        res5_multi_grid: Sequence[int] = (1, 1, 1),
        freeze_at: int = 0,
    ):
        super().__init__()
        names = ("conv1", "stem", "res2", "res3", "res4", "res5")
        self.stage_names = self.choose_features(out_features, names)[2:]
        if depth not in _BLOCKS_PER_STAGE:
            raise UnknownNameError(unknown_name(depth, _BLOCKS_PER_STAGE, "depths of ResNet"))
        if stem_type not in _STEMS:
            raise UnknownNameError(unknown_name(stem_type, _STEMS, "stems of ResNet (STEM_TYPE)"))
        basic = depth < 50
        if basic and num_groups != 1:
            raise ConfigError(
                f"ResNet-{depth} has no grouped convolutions, got {num_groups} groups"
            )
        res2_out_channels = res2_out_channels or (64 if basic else 256)

        self.stem = _STEMS[stem_type](in_channels, stem_out_channels, norm=norm)
        self.add_feature("conv1", stem_out_channels, 2)
        self.add_feature("stem", stem_out_channels, 4)
        channels, stride, dilation = stem_out_channels, 4, 1
        for i, name in enumerate(self.stage_names):
            previous_dilation, dilation = dilation, (1, 1, res4_dilation, res5_dilation)[i]
            first_dilation = dilation if dilate_first_block else previous_dilation
            first_stride = 1 if i == 0 or dilation > 1 else 2
            out_channels = res2_out_channels * 2**i
            dilations = [first_dilation] + [dilation] * (_BLOCKS_PER_STAGE[depth][i] - 1)
            if name == "res5":
                dilations = _multi_grid(dilations, res5_multi_grid)
            options: dict[str, Any] = {"norm": norm, "avg_down": avg_down}
            if not basic:
                options["bottleneck_channels"] = num_groups * width_per_group * 2**i
                options["num_groups"] = num_groups
                options["stride_in_1x1"] = stride_in_1x1
            stage = make_stage(
                BasicBlock if basic else BottleneckBlock,
                channels,
                out_channels,
                stride=first_stride,
                dilations=dilations,
                **options,
            )
            self.add_module(name, stage)
            channels, stride = out_channels, stride * first_stride
            self.add_feature(name, channels, stride)
        self.hidden_settings = {
            "MODEL.BACKBONE.NAME": "build_resnet_backbone",  # timm has ResNets that blur
            "MODEL.RESNETS.AVG_DOWN": avg_down,
            "MODEL.RESNETS.RES4_DILATION": res4_dilation,
            "MODEL.RESNETS.RES5_DILATION": res5_dilation,
            "MODEL.RESNETS.RES5_MULTI_GRID": list(res5_multi_grid),
        }
        if not basic:
            self.hidden_settings["MODEL.RESNETS.STRIDE_IN_1X1"] = stride_in_1x1
        if max(res4_dilation, res5_dilation) > 1:
            self.hidden_settings["MODEL.RESNETS.DILATE_FIRST_BLOCK"] = dilate_first_block
        self.freeze(freeze_at)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        c = cfg.MODEL.RESNETS
        if c.DEPTH < 50 and c.RES2_OUT_CHANNELS >= 256:
            raise ConfigError(
                f"MODEL.RESNETS.RES2_OUT_CHANNELS is {c.RES2_OUT_CHANNELS}, the width of deeper "
                f"networks; for DEPTH {c.DEPTH} set it to 64 (or less, for a narrower network)"
            )
        return {
            "depth": c.DEPTH,
            "in_channels": input_shape.channels,
            "out_features": c.OUT_FEATURES,
            "norm": c.NORM,
            "num_groups": c.NUM_GROUPS,
            "width_per_group": c.WIDTH_PER_GROUP,
            "stem_type": c.STEM_TYPE,
            "stem_out_channels": c.STEM_OUT_CHANNELS,
            "res2_out_channels": c.RES2_OUT_CHANNELS,
            "stride_in_1x1": c.STRIDE_IN_1X1,
            "avg_down": c.AVG_DOWN,
            "res4_dilation": c.RES4_DILATION,
            "res5_dilation": c.RES5_DILATION,
            "dilate_first_block": c.DILATE_FIRST_BLOCK,
            "res5_multi_grid": c.RES5_MULTI_GRID,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = {"conv1": self.stem(x)}
        x = F.max_pool2d(features["conv1"], 3, stride=2, padding=1)
        features["stem"] = x
        for name in self.stage_names:
            x = features[name] = getattr(self, name)(x)
        return self.chosen(features)

    def stages(self) -> list[list[str]]:
        """The stem, res2, res3, ... as far as they are built."""
        return [[name] for name in ("stem", *self.stage_names)]

    def blocks(self) -> list[str]:
        """The residual blocks."""
        return self.names_of(CNNBlockBase)


def _multi_grid(dilations: list[int], factors: Sequence[int]) -> list[int]:
    if all(factor == 1 for factor in factors):
        return dilations
    if len(factors) != len(dilations):
        raise ConfigError(
            f"MODEL.RESNETS.RES5_MULTI_GRID {list(factors)} has {len(factors)} factors; res5 has "
            f"{len(dilations)} blocks"
        )
    return [dilation * factor for dilation, factor in zip(dilations, factors, strict=True)]


@BACKBONE_REGISTRY.register()
def build_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """ResNet from ``MODEL.RESNETS`` and ``MODEL.BACKBONE.FREEZE_AT``."""
    return ResNet(cfg, input_shape)


@BACKBONE_REGISTRY.register()
def build_resnet_deeplab_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """The same under the name that Detectron2's DeepLab configurations have for it."""
    return ResNet(cfg, input_shape)
