"""`LayerNorm2d`: layer normalisation of each pixel over its channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def set_layer_norm_eps(module: nn.Module, eps: float) -> None:
    """Give the layer norms in `module` another epsilon."""
    for norm in module.modules():
        if isinstance(norm, nn.LayerNorm):
            norm.eps = eps


class LayerNorm2d(nn.LayerNorm):
    """`nn.LayerNorm` of (N, C, H, W) over C (Ba et al. 2016); epsilon 1e-6 as in ConvNeXt."""

    def __init__(self, channels: int, eps: float = 1e-6):
        super().__init__(channels, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.layer_norm(
            x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps
        )
        return x.permute(0, 3, 1, 2)
