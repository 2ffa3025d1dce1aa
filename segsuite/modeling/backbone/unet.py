"""The contracting path of U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import configurable
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
    """

    @configurable
    def __init__(
        self,
        *,
        in_channels: int = 3,
        channels: Sequence[int] = (64, 128, 256, 512, 1024),
        norm: str = "BN",
    ):
        super().__init__()
        self._shapes = {}
        for level, out_channels in enumerate(channels):
            name = f"enc{level + 1}"
            block = nn.Sequential(
                Conv2d(in_channels, out_channels, 3, norm=norm, activation=F.relu_),
                Conv2d(out_channels, out_channels, 3, norm=norm, activation=F.relu_),
            )
            self.add_module(name, block)
            self._shapes[name] = ShapeSpec(out_channels, 2**level)
            in_channels = out_channels

    @classmethod
    def from_config(cls, cfg, input_shape: ShapeSpec) -> dict:
        return {
            "in_channels": input_shape.channels,
            "channels": cfg.MODEL.UNET.CHANNELS,
            "norm": cfg.MODEL.UNET.NORM,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = {}
        for name, shape in self._shapes.items():
            if shape.stride > 1:
                # Rounding up keeps the last row and column of odd sizes.
                x = F.max_pool2d(x, 2, ceil_mode=True)
            x = features[name] = getattr(self, name)(x)
        return features

    def output_shape(self) -> dict[str, ShapeSpec]:
        return dict(self._shapes)


@BACKBONE_REGISTRY.register()
def build_unet_backbone(cfg, input_shape: ShapeSpec) -> UNetEncoder:
    """The encoder of U-Net from ``MODEL.UNET``."""
    return UNetEncoder(cfg, input_shape)
