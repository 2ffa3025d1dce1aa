"""`Backbone`: the contract between feature extractors and heads."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from segsuite.layers import ShapeSpec


class Backbone(nn.Module, ABC):
    """Turns images into named feature maps.

    Attributes:
        size_divisibility: image sizes must be multiples of it; 0 when any size will do.
    """

    size_divisibility: int = 0

    @abstractmethod
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """(N, C, H, W) -> {name: (N, channels, ceil(H / stride), ceil(W / stride))}."""

    @abstractmethod
    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each feature map that `forward` returns."""
