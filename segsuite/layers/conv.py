"""`Conv2d`: convolution, normalisation and activation in one module."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.ops import conv_epilogue_

from .norm import get_norm


class Conv2d(nn.Conv2d):
    """A convolution followed by its norm and activation; parameters `weight` and `norm.weight`.

    The output has ceil(size / stride) pixels: padding defaults to "same". There is a bias exactly
    when there is no norm. Weights start as He et al. 2015 draw them for ReLU networks (fan out).

    `segsuite.acceleration.accelerate` gives those in a model faster ways to compute the same.

    Args:
        norm: a name `get_norm` knows, "" for none.
        activation: applied last; may work in place.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        norm: str = "",
        activation: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ):
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=dilation * (kernel_size - 1) // 2,
            dilation=dilation,
            groups=groups,
            bias=norm == "",
        )
        self.norm = get_norm(norm, out_channels)
        self.activation = activation

    def reset_parameters(self) -> None:
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self, x: torch.Tensor, residual: torch.Tensor | None = None, upsample: bool = False
    ) -> torch.Tensor:
        """The output, to which `residual` is added between norm and activation.

        Args:
            residual: of the size of the output; with `upsample` half as high and wide, each pixel
                counting for 2x2.
        """
        return self.finish(super().forward(x), residual, upsample)

    def finish(
        self, x: torch.Tensor, residual: torch.Tensor | None = None, upsample: bool = False
    ) -> torch.Tensor:
        """All but the convolution, which was computed in another way; `x` may change."""
        if self.norm is not None:
            x = self.norm(x)
        return self.finish_normed(x, None, residual, upsample)

    def finish_normed(
        self,
        x: torch.Tensor,
        bias: torch.Tensor | None,
        residual: torch.Tensor | None,
        upsample: bool,
    ) -> torch.Tensor:
        """What comes after the norm, and a bias (C,) that is still missing; `x` may change."""
        relu = self.activation is F.relu_
        if bias is not None or residual is not None:
            x = conv_epilogue_(x, bias, residual, relu=relu, upsample=upsample)
            if relu:
                return x
        return x if self.activation is None else self.activation(x)
