"""The contracting path of U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.layers import Conv2d, ShapeSpec

from .backbone import Backbone
from .build import BACKBONE_REGISTRY


class UNetEncoder(Backbone):
    """Two 3x3 convolutions at each level, and 2x2 max pooling between levels.

    Features "enc1", "enc2", ... with strides 1, 2, 4, ...; the last one is the bottleneck. The
    convolutions are padded, unlike the paper's, so that features cover the whole image.

    Args:
        channels: one entry per level; the paper has (64, 128, 256, 512, 1024).
        norm: see `get_norm`; the paper has none.
        freeze_at: levels frozen from the input on: 0 none, 1 those of "enc1", ... See `freeze`.
    """

    @configurable
    def __init__(
        self,
        *,
        in_channels: int = 3,
        channels: Sequence[int] = (64, 128, 256, 512, 1024),
        norm: str = "BN",
        freeze_at: int = 0,
    ):
        super().__init__()
        for level, out_channels in enumerate(channels):
            name = f"enc{level + 1}"
            block = nn.Sequential(
                Conv2d(in_channels, out_channels, 3, norm=norm, activation=F.relu_),
                Conv2d(out_channels, out_channels, 3, norm=norm, activation=F.relu_),
            )
            self.add_module(name, block)
            self.add_feature(name, out_channels, 2**level)
            in_channels = out_channels
        self.freeze(freeze_at)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        return {
            "in_channels": input_shape.channels,
            "channels": cfg.MODEL.UNET.CHANNELS,
            "norm": cfg.MODEL.UNET.NORM,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = {}
        for name, stride in self._out_feature_strides.items():
            if stride > 1:
                # Rounding up keeps the last row and column of odd sizes.
                x = F.max_pool2d(x, 2, ceil_mode=True)
            x = features[name] = getattr(self, name)(x)
        return features

    def stages(self) -> list[list[str]]:
        """The levels, each the convolutions of one resolution."""
        return [[name] for name in self.out_features]

    def blocks(self) -> list[str]:
        """The levels."""
        return list(self.out_features)


@BACKBONE_REGISTRY.register()
def build_unet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> UNetEncoder:
    """The encoder of U-Net from ``MODEL.UNET`` and ``MODEL.BACKBONE.FREEZE_AT``."""
    return UNetEncoder(cfg, input_shape)
