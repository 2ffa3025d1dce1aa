"""`Conv2d`: convolution, normalisation and activation in one module."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from .depthwise_conv import depthwise_conv2d
from .frozen_batch_norm import FrozenBatchNorm2d
from .norm import get_norm
from .winograd import WinogradConv3x3, suits_winograd


class Conv2d(nn.Conv2d):
    """A convolution followed by its norm and activation; parameters `weight` and `norm.weight`.

    The output has ceil(size / stride) pixels: padding defaults to "same". There is a bias exactly
    when there is no norm. Weights start as He et al. 2015 draw them for ReLU networks (fan out).

    A frozen batch norm is folded into the convolution in every call: with the small weights it
    costs next to nothing, where it would read and write the whole output once more. `fold_convs`
    folds any batch norm once, for inference. On a CPU, depthwise convolutions have faster gradients
    than PyTorch's, and in float32 wide 3x3 ones are trained by Winograd's algorithm.

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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if isinstance(self.norm, FrozenBatchNorm2d):
            scale, shift = self.norm.scale_and_shift()
            x = self._conv_forward(x, self.weight * scale.view(-1, 1, 1, 1), shift)
            return x if self.activation is None else self.activation(x)
        return self.finish(super().forward(x))

    def _conv_forward(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        if self.groups == self.in_channels == self.out_channels > 1:
            return depthwise_conv2d(x, weight, bias, self.stride, self.padding, self.dilation)
        if (
            x.device.type == "cpu"
            and x.dtype == weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and suits_winograd(self, x.shape[-2:])
        ):
            return WinogradConv3x3.apply(x, weight, bias, self.dilation[0])
        return super()._conv_forward(x, weight, bias)

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        """Norm and activation alone, for a convolution that was computed in another way."""
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        return x
