"""High-resolution networks (Wang et al. 2019, https://arxiv.org/abs/1908.07919)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import Conv2d, ShapeSpec

from .backbone import Backbone
from .build import BACKBONE_REGISTRY
from .resnet import BasicBlock, BottleneckBlock, make_stage

_FEATURES = ("conv1", "res2", "res3", "res4", "res5")
_UPSAMPLING = ("nearest", "bilinear")


class HRNet(Backbone):
    """HRNet-W18/W32/W48: branches of four resolutions that exchange what they see.

    Features, named as ResNet's of the same stride: "conv1" (stride 2, 64 channels), "res2" (4, of
    `width` channels), "res3" (8, twice the width), "res4" (16, four times), "res5" (32, eight
    times).

    Args:
        width: channels of the finest branch.
        out_features: names of the features to return.
        norm: see `get_norm`.
        modules: of exchange in the stages of two, three and four branches.
        blocks: of two convolutions, in each branch of each module.
        upsampling: how coarse branches reach fine ones: "nearest" as the ImageNet weights of timm
            and the authors were trained, "bilinear" as the authors' segmentation weights were.
        freeze_at: stages frozen from the input on: 0 none, 1 the two strided convolutions, 2 the
            stage of one branch too, ... 5 all. See `freeze`.

    Raises:
        UnknownNameError: unknown feature.
        ConfigError: unknown upsampling.
    """

    transition1: nn.ModuleList
    transition2: nn.ModuleList
    transition3: nn.ModuleList
    stage2: nn.Sequential
    stage3: nn.Sequential
    stage4: nn.Sequential

    @configurable
    def __init__(
        self,
        *,
        width: int = 18,
        in_channels: int = 3,
        out_features: Sequence[str] = _FEATURES[1:],
        norm: str = "BN",
        modules: Sequence[int] = (1, 4, 3),
        blocks: int = 4,
        upsampling: str = "nearest",
        freeze_at: int = 0,
    ):
        super().__init__()
        self.choose_features(out_features, _FEATURES)
        if upsampling not in _UPSAMPLING:
            raise ConfigError(
                f"MODEL.HRNET.UPSAMPLING is '{upsampling}'; it may be 'nearest' or 'bilinear'"
            )
        widths = [width * 2**i for i in range(4)]
        for i, (name, channels) in enumerate(zip(_FEATURES, (64, *widths), strict=True), 1):
            self.add_feature(name, channels, 2**i)
        self.conv1 = Conv2d(in_channels, 64, 3, stride=2, norm=norm, activation=F.relu_)
        self.conv2 = Conv2d(64, 64, 3, stride=2, norm=norm, activation=F.relu_)
        self.layer1 = make_stage(
            BottleneckBlock, 64, 256, stride=1, dilations=[1] * 4, bottleneck_channels=64, norm=norm
        )
        before = [256]
        for i, count in enumerate(modules):
            self.add_module(f"transition{i + 1}", _transition(before, widths[: i + 2], norm))
            before = widths[: i + 2]
            stage = nn.Sequential(
                *[_ExchangeModule(before, blocks, norm, upsampling) for _ in range(count)]
            )
            self.add_module(f"stage{i + 2}", stage)
        self.hidden_settings = {"MODEL.HRNET.UPSAMPLING": upsampling}
        self.freeze(freeze_at)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        c = cfg.MODEL.HRNET
        return {
            "width": c.WIDTH,
            "in_channels": input_shape.channels,
            "out_features": c.OUT_FEATURES,
            "norm": c.NORM,
            "modules": c.MODULES,
            "blocks": c.BLOCKS,
            "upsampling": c.UPSAMPLING,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        half = self.conv1(x)
        branches = [self.layer1(self.conv2(half))]
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            # The new branch, the last, comes from the coarsest one so far.
            branches = [
                layer(branches[min(i, len(branches) - 1)]) for i, layer in enumerate(transition)
            ]
            branches = stage(branches)
        features = dict(zip(_FEATURES, [half, *branches], strict=True))
        return self.chosen(features)

    def stages(self) -> list[list[str]]:
        """The two strided convolutions, then the authors' stages of one, two, three and four
        branches."""
        exchanges = [[f"transition{i}", f"stage{i + 1}"] for i in (1, 2, 3)]
        return [["conv1", "conv2"], ["layer1"], *exchanges]

    def blocks(self) -> list[str]:
        """The residual blocks of the first stage, and the others' modules of parallel branches."""
        return self.names_of(BottleneckBlock, _ExchangeModule)


def _transition(before: Sequence[int], after: Sequence[int], norm: str) -> nn.ModuleList:
    """What makes one more branch, half as fine, and gives each branch its channels."""
    layers = nn.ModuleList()
    for i, channels in enumerate(after):
        if i == len(before):
            layers.append(Conv2d(before[-1], channels, 3, stride=2, norm=norm, activation=F.relu_))
        elif before[i] == channels:
            layers.append(nn.Identity())
        else:
            layers.append(Conv2d(before[i], channels, 3, norm=norm, activation=F.relu_))
    return layers


class _ExchangeModule(nn.Module):
    """Blocks in each branch, after which every branch gets the sum of all."""

    def __init__(self, channels: Sequence[int], blocks: int, norm: str, upsampling: str):
        super().__init__()
        self.upsampling = upsampling
        self.branches = nn.ModuleList(
            make_stage(BasicBlock, c, c, stride=1, dilations=[1] * blocks, norm=norm)
            for c in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(channels, source, to, norm) for source in range(len(channels)))
            for to in range(len(channels))
        )

    def forward(self, x: list[torch.Tensor]) -> list[torch.Tensor]:
        x = [branch(features) for branch, features in zip(self.branches, x, strict=True)]
        out = []
        for to, paths in enumerate(self.fuse_layers):
            height, width = x[to].shape[-2:]
            total = x[to]
            for source, path in enumerate(paths.children()):
                if source == to:
                    continue
                y = path(x[source])
                if source > to:
                    y = F.interpolate(y, scale_factor=2 ** (source - to), mode=self.upsampling)
                    # Sizes are rounded up: there may be rows and columns too many.
                    y = y[..., :height, :width]
                total = total + y
            out.append(F.relu_(total))
        return out


def _path(channels: Sequence[int], source: int, to: int, norm: str) -> nn.Module:
    """From one branch's features to another's channels and, if that is coarser, resolution."""
    if source == to:
        return nn.Identity()
    if source > to:
        return Conv2d(channels[source], channels[to], 1, norm=norm)
    steps = [
        Conv2d(channels[source], channels[source], 3, stride=2, norm=norm, activation=F.relu_)
        for _ in range(to - source - 1)
    ]
    return nn.Sequential(*steps, Conv2d(channels[source], channels[to], 3, stride=2, norm=norm))


@BACKBONE_REGISTRY.register()
def build_hrnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> HRNet:
    """HRNet from ``MODEL.HRNET`` and ``MODEL.BACKBONE.FREEZE_AT``."""
    return HRNet(cfg, input_shape)
