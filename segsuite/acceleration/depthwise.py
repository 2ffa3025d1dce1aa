"""Depthwise convolutions whose gradients are fast on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable


def suits_depthwise(conv: nn.Conv2d) -> bool:
    """Whether `depthwise_conv2d` computes `conv`, with faster gradients than PyTorch's.

    Those of the commonest, 3x3 without stride and dilation, are as fast as they get.
    """
    is_common = conv.stride == conv.dilation == (1, 1) and max(conv.kernel_size) <= 3
    return (
        conv.groups == conv.in_channels == conv.out_channels > 1
        and not is_common
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and min(_padding_of_gradient(conv.kernel_size, conv.padding, conv.dilation)) >= 0
    )


def depthwise_conv2d(
    conv: nn.Conv2d, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """The convolution of x (N, C, H, W) and weight (C, 1, k, k), otherwise as `conv` has it.

    Its gradients on a CPU are computed in the ways that oneDNN is fast in: that of `x` with stride
    1 as the convolution that it is, others in float32 where bfloat16 takes several times as long.
    """
    stride, padding, dilation = conv.stride, conv.padding, conv.dilation
    if x.device.type != "cpu" or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return F.conv2d(x, weight, bias, stride, padding, dilation, x.shape[1])
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    return _DepthwiseConv.apply(x, weight, bias, stride, padding, dilation)


class _DepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        dilation: tuple[int, ...],
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        ctx.geometry = stride, padding, dilation
        return F.conv2d(x, weight, bias, stride, padding, dilation, x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry
        kernel_size = weight.shape[-2:]
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            if stride == (1, 1):
                around = _padding_of_gradient(kernel_size, padding, dilation)
                flipped = weight.flip(2, 3)
                grad_x = F.conv2d(grad, flipped, None, 1, around, dilation, x.shape[1])
            else:
                grad_x = _gradient(ctx, grad, x, weight, 0, in_float32=True)
        if ctx.needs_input_grad[1]:
            is_small = kernel_size == (3, 3) and dilation == (1, 1)
            grad_weight = _gradient(ctx, grad, x, weight, 1, in_float32=not is_small)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            grad_bias = grad.sum((0, 2, 3))
        return grad_x, grad_weight, grad_bias, None, None, None


def _padding_of_gradient(
    kernel_size: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> list[int]:
    """That of the convolution which is the gradient of the input, where the stride is 1."""
    return [d * (k - 1) - p for d, k, p in zip(dilation, kernel_size, padding, strict=True)]


def _gradient(
    ctx: Any,
    grad: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    which: int,
    in_float32: bool,
) -> torch.Tensor:
    """The gradient of `x` (0) or of `weight` (1); lower precisions are computed in float32."""
    stride, padding, dilation = ctx.geometry
    wanted, tensors = (x, weight)[which].dtype, [grad, x, weight]
    if in_float32:
        tensors = [t.to(torch.promote_types(t.dtype, torch.float32)) for t in tensors]
    mask = [which == 0, which == 1, False]
    gradients = torch.ops.aten.convolution_backward(
        *(*tensors, None, stride, padding, dilation, False, (0, 0), x.shape[1], mask)
    )
    return gradients[which].to(wanted)
