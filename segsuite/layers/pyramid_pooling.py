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

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        norm = self.norm
        single = x.numel() == x.shape[1]
        if not (single and self.training and isinstance(norm, nn.BatchNorm2d)):
            return super().finish(x)
        mean, var = norm.running_mean, norm.running_var
        return F.relu_(F.batch_norm(x, mean, var, norm.weight, norm.bias, eps=norm.eps))


class PyramidPooling(nn.Module):
    """Joins a feature with its means over coarse grids, each of which a 1x1 convolution narrows.

    Args:
        in_channels: of the feature.
        pooled_channels: of each narrowed grid of means.
        bins: a grid has bins x bins cells.
        norm: see `get_norm`.

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
    ):
        super().__init__()
        self.bins = list(bins)
        self.convs = nn.ModuleList(
            PooledConv2d(in_channels, pooled_channels, norm=norm) for _ in bins
        )
        self.out_channels = in_channels + len(self.bins) * pooled_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, out_channels, H, W)."""
        out = [x]
        for bins, conv in zip(self.bins, self.convs, strict=True):
            pooled = conv(F.adaptive_avg_pool2d(x, bins))
            out.append(F.interpolate(pooled, x.shape[-2:], mode="bilinear", align_corners=False))
        return torch.cat(out, dim=1)
