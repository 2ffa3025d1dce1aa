"""Bilinear resizing as a module."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class BilinearResize(nn.Module):
    """``F.interpolate(x, size, mode="bilinear", align_corners=False)``.

    A module, so that `segsuite.acceleration.accelerate` can give it a faster gradient.
    """

    def forward(self, x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """(N, C, h, w) -> (N, C, *size)."""
        return F.interpolate(x, size, mode="bilinear", align_corners=False)
