"""What follows a convolution, elementwise, in one pass over memory: bias, residual, ReLU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.ops._library import EXTENSION_LOADED, KERNEL_DEVICES, has_kernels

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def conv_epilogue_(
    x: Tensor,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    *,
    relu: bool = False,
    upsample: bool = False,
) -> Tensor:
    """``relu(x + bias + residual)`` in place of `x`: read once, written once.

    Half types are added in float32 and rounded once. The gradient needs the result alone, and is
    the same for `x` and `residual`. Kernels serve tensors of one type and one memory format,
    contiguous or channels-last; PyTorch's operators compute others, and what is compiled, exported
    or transformed by torch.func.

    Args:
        x: (N, C, H, W) floating point, such as a convolution has just made: a tensor that nobody
            else needs. It also decides the type of the result.
        bias: (C,) floating point.
        residual: (N, C, H, W), the shortcut of a residual block, say.
        relu: whether negative values become zero.
        upsample: `residual` is (N, C, H / 2, W / 2), the coarser level of a feature pyramid, and
            each of its pixels counts for 2x2.

    Returns:
        `x`, changed.

    Raises:
        ValueError: sizes that do not fit.
    """
    if _is_transformed():
        return _reference(x, bias, residual, relu, upsample)
    _check(x, bias, residual, upsample)
    if not (has_kernels(x.device) and _suits(x, residual)):
        return _reference(x, bias, residual, relu, upsample)
    if torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (x, bias, residual)
    ):
        return _ConvEpilogue.apply(x, bias, residual, relu, upsample)
    _run(x, bias, residual, relu, upsample)
    return x


def adds_bias_for_free(x: Tensor) -> bool:
    """Whether a convolution of `x` should leave its bias to `conv_epilogue_`.

    A convolution on a GPU adds it in a pass of its own over the output; one on a CPU as it goes.
    """
    device = x.device.type
    return device != "cpu" and device in KERNEL_DEVICES and not torch.compiler.is_compiling()


def _is_transformed() -> bool:
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
    )


def _check(x: Tensor, bias: Tensor | None, residual: Tensor | None, upsample: bool) -> None:
    if x.dim() != 4 or not x.is_floating_point():
        raise ValueError(f"x is {tuple(x.shape)} {x.dtype}; expected (N, C, H, W) floating point")
    if bias is not None and bias.shape != (x.shape[1],):
        raise ValueError(f"the bias is {tuple(bias.shape)}; expected ({x.shape[1]},) for x")
    if upsample and residual is None:
        raise ValueError("there is no residual to upsample; pass `residual`, or upsample=False")
    if residual is None:
        return
    n, c, h, w = residual.shape if residual.dim() == 4 else (-1, -1, -1, -1)
    scale = 2 if upsample else 1
    if (n, c, scale * h, scale * w) != x.shape:
        raise ValueError(
            f"the residual is {tuple(residual.shape)}, x {tuple(x.shape)}; expected "
            f"{'half of its height and width' if upsample else 'the same size'}"
        )


def _suits(x: Tensor, residual: Tensor | None) -> bool:
    """Whether the kernels take them: dense, alike in type and memory format."""
    if x.dtype not in _DTYPES or (x.dtype == torch.float16 and x.device.type == "cpu"):
        return False  # on a CPU, PyTorch converts float16 faster
    if residual is None:
        return x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
    if residual.dtype != x.dtype or residual.device != x.device:
        return False
    return any(
        x.is_contiguous(memory_format=layout) and residual.is_contiguous(memory_format=layout)
        for layout in (torch.channels_last, torch.contiguous_format)
    )


def _run(
    x: Tensor, bias: Tensor | None, residual: Tensor | None, relu: bool, upsample: bool
) -> None:
    if bias is not None:
        bias = bias.to(torch.float64 if x.dtype == torch.float64 else torch.float32).contiguous()
    torch.ops.segsuite.conv_epilogue_(x, bias, residual, upsample, relu)


def _reference(
    x: Tensor, bias: Tensor | None, residual: Tensor | None, relu: bool, upsample: bool
) -> Tensor:
    if bias is not None:
        x.add_(bias.view(-1, 1, 1))
    if residual is not None and not upsample:
        x.add_(residual)
    elif residual is not None and torch.is_grad_enabled():
        x.add_(F.interpolate(residual, scale_factor=2.0, mode="nearest"))
    elif residual is not None:
        # The large map is read and written once, and no other of its size is made.
        x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).add_(residual[:, :, :, None, :, None])
    return F.relu_(x) if relu else x


class _ConvEpilogue(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        residual: Tensor | None,
        relu: bool,
        upsample: bool,
    ) -> Tensor:
        _run(x, bias, residual, relu, upsample)
        ctx.mark_dirty(x)
        if relu:
            ctx.save_for_backward(x)
        ctx.bias_dtype = None if bias is None else bias.dtype
        ctx.coarse_size = residual.shape if residual is not None and upsample else None
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        for result in ctx.saved_tensors:
            grad = torch.ops.aten.threshold_backward(grad, result, 0)
        grad_bias = grad_residual = None
        if ctx.needs_input_grad[1]:
            grad_bias = grad.sum((0, 2, 3), dtype=ctx.bias_dtype)
        if ctx.needs_input_grad[2]:
            grad_residual = grad
            if ctx.coarse_size is not None:
                grad_residual = torch.ops.aten.upsample_nearest2d_backward(
                    grad, grad.shape[2:], ctx.coarse_size, 2.0, 2.0
                )
        return grad, grad_bias, grad_residual, None, None


# What torch.compile and torch.export know of the kernels

if EXTENSION_LOADED:

    @torch.library.register_fake("segsuite::conv_epilogue_")
    def _(*_: Any) -> None:
        return None
