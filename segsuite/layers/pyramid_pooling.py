"""Pyramid pooling (Zhao et al. 2017, https://arxiv.org/abs/1612.01105)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .conv import Conv2d


class PooledConv2d(Conv2d):
    """A 1x1 convolution of means over large areas.

    A single value per channel, the mean of a whole image in a batch of one, is nothing that a batch
    norm could take statistics from: in training too it uses the running ones for it.
    """

    def __init__(self, in_channels: int, out_channels: int, *, norm: str = "BN"):
        super().__init__(in_channels, out_channels, 1, norm=norm, activation=F.relu_)

    def finish(
        self, x: torch.Tensor, residual: torch.Tensor | None = None, upsample: bool = False
    ) -> torch.Tensor:
        norm = self.norm
        single = x.numel() == x.shape[1]
        if not (single and self.training and isinstance(norm, nn.BatchNorm2d)):
            return super().finish(x, residual, upsample)
        mean, var = norm.running_mean, norm.running_var
        x = F.batch_norm(x, mean, var, norm.weight, norm.bias, eps=norm.eps)
        return self.finish_normed(x, None, residual, upsample)


class PyramidPooling(nn.ModuleList):
    """Joins a feature with its means over coarse grids, each of which a 1x1 convolution narrows.

    The list holds the convolutions, one for each grid.

    Args:
        in_channels: of the feature.
        pooled_channels: of each narrowed grid of means.
        bins: a grid has bins x bins cells.
        norm: see `get_norm`.
        norm_of_one_cell: of the grid of one cell, by default `norm`. The original has none.
        align_corners: how grids are brought to the feature's size, see `F.interpolate`. The
            original aligns corners, MMSegmentation and UPerNet do not.

    Attributes:
        out_channels: in_channels + len(bins) * pooled_channels, the feature's own first.
    """

    def __init__(
        self,
        in_channels: int,
        pooled_channels: int,
        *,
        bins: Sequence[int] = (1, 2, 3, 6),
        norm: str = "BN",
        norm_of_one_cell: str | None = None,
        align_corners: bool = False,
    ):
        if norm_of_one_cell is None:
            norm_of_one_cell = norm
        super().__init__(
            PooledConv2d(in_channels, pooled_channels, norm=norm_of_one_cell if b == 1 else norm)
            for b in bins
        )
        self.bins = list(bins)
        self.align_corners = align_corners
        self.out_channels = in_channels + len(self.bins) * pooled_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, out_channels, H, W)."""
        joined = [x]
        for bins, conv in zip(self.bins, self, strict=True):
            pooled = conv(F.adaptive_avg_pool2d(x, bins))
            joined.append(
                F.interpolate(
                    pooled, x.shape[-2:], mode="bilinear", align_corners=self.align_corners
                )
            )
        return torch.cat(joined, dim=1)
