"""`DepthwiseSeparableConv2d` (Chollet 2017, https://arxiv.org/abs/1610.02357)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from .conv import Conv2d


class DepthwiseSeparableConv2d(nn.Module):
    """A k x k convolution of each channel by itself, then a 1x1 convolution across channels.

    Both are followed by norm and activation, as in DeepLab. Parameters are named as in Detectron2:
    `depthwise.weight`, `depthwise.norm`, `pointwise.weight`, ...
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        dilation: int = 1,
        norm: str = "",
        activation: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ):
        super().__init__()
        self.depthwise = Conv2d(
            in_channels,
            in_channels,
            kernel_size,
            dilation=dilation,
            groups=in_channels,
            norm=norm,
            activation=activation,
        )
        self.pointwise = Conv2d(in_channels, out_channels, 1, norm=norm, activation=activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pointwise(self.depthwise(x))
