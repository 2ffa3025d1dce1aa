"""3x3 convolutions with fewer multiplications: F(2x2, 3x3) of Winograd's minimal filtering.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: four pixels of the
output take 16 products of transformed pixels and weights instead of 36. The products are 16 matrix
products over channels, so wide layers gain; in narrow ones the transforms cost more than is saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

# Channels from which the transforms cost less than they save.
_WIDE = 256
# Each of the d x d subsets of a dilated convolution is copied, and padded to whole tiles by itself:
# of the products of the direct convolution at least 16/36 are left, on small maps more.
_LARGEST_DILATION = 4
_SHARE_OF_PRODUCTS = 0.55
# Tiles that are transformed at a time: few enough for the processor's caches, and enough that the
# weights are not read for a handful of rows.
_TILES_AT_ONCE = 1024


def is_wide_conv3x3(conv: nn.Conv2d) -> bool:
    """Whether a CPU computes `conv` faster so, in float32, on maps that `saves_products` of."""
    d = conv.dilation[0]
    return (
        conv.kernel_size == (3, 3)
        and conv.stride == (1, 1)
        and conv.padding == conv.dilation == (d, d)
        and d <= _LARGEST_DILATION
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and min(conv.in_channels, conv.out_channels) >= _WIDE
    )


def saves_products(size: Sequence[int], dilation: int) -> bool:
    """Whether maps of `size` (height, width) are not mostly the padding of tiles."""
    height, width = size
    tiles = dilation**2 * -(-height // (2 * dilation)) * -(-width // (2 * dilation))
    return 16 * tiles <= _SHARE_OF_PRODUCTS * 9 * height * width


class WinogradConv3x3(torch.autograd.Function):
    """`winograd_conv3x3` of a weight (C_out, C_in, 3, 3), with gradients.

    That of the input is such a convolution, too; that of the weight is computed directly.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, dilation: int
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return winograd_conv3x3(x, winograd_weight(weight), bias, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        d = ctx.dilation
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            turned = winograd_weight(weight.flip(2, 3).transpose(0, 1))
            grad_x = winograd_conv3x3(grad, turned, None, d)
        if ctx.needs_input_grad[1]:
            _, grad_weight, _ = torch.ops.aten.convolution_backward(
                *(grad, x, weight, None, (1, 1), (d, d), (d, d), False, (0, 0), 1),
                (False, True, False),
            )
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum((0, 2, 3))
        return grad_x, grad_weight, grad_bias, None


def winograd_weight(weight: torch.Tensor) -> torch.Tensor:
    """Transform the weight (C_out, C_in, 3, 3) of a convolution to (16, C_in, C_out)."""
    c_out, c_in = weight.shape[:2]
    half = weight.new_empty(4, 3, c_out, c_in)
    _transform_weight_axis(weight.permute(2, 3, 0, 1), half)
    transformed = weight.new_empty(4, 4, c_out, c_in)
    _transform_weight_axis(half.transpose(0, 1), transformed.transpose(0, 1))
    return transformed.view(16, c_out, c_in).transpose(1, 2)


def _transform_weight_axis(w: torch.Tensor, out: torch.Tensor) -> None:
    """Three planes along the first axis to four."""
    out[0], out[3] = w[0], w[2]
    even = torch.add(w[0], w[2]).mul_(0.5)
    torch.add(even, w[1], alpha=0.5, out=out[1])
    torch.sub(even, w[1], alpha=0.5, out=out[2])


def winograd_conv3x3(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, dilation: int = 1
) -> torch.Tensor:
    """``conv2d(x, ..., stride=1, padding=dilation, dilation=dilation)`` to rounding.

    Args:
        x: (N, C_in, H, W) floating point, fastest in channels-last memory.
        weight: (16, C_in, C_out) by `winograd_weight`, of the type of `x`.
        bias: (C_out,), or None.
        dilation: a convolution with dilation d is one without on each of the d x d subsets of
            pixels that are d apart.

    Returns:
        (N, C_out, H, W) in channels-last memory. No gradient passes.
    """
    n, _, height, width = x.shape
    d = dilation
    tile_rows, tile_columns = -(-height // (2 * d)), -(-width // (2 * d))
    bottom, right = 2 * d * tile_rows + d - height, 2 * d * tile_columns + d - width
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, d, right, d, bottom))
    if d > 1:
        padded = padded.unflatten(1, (-1, d)).unflatten(3, (-1, d)).permute(0, 2, 4, 1, 3, 5)
        padded = padded.flatten(0, 2)
    if bias is None:
        bias = x.new_zeros(())
    # Not a view, so that an activation may work in place on it.
    result = torch.empty(
        (n, weight.shape[2], height, width),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last,
    )
    pixels = result.permute(0, 2, 3, 1)
    subsets = pixels
    if d > 1:
        subsets = x.new_empty(len(padded), 2 * tile_rows, 2 * tile_columns, weight.shape[2])
    rows = max(1, _TILES_AT_ONCE // tile_columns)
    images = max(1, rows // tile_rows)
    for i in range(0, len(padded), images):
        for row in range(0, 2 * tile_rows, 2 * rows):
            part = padded[i : i + images, row : row + 2 * rows + 2]
            products = torch.bmm(_transform_input(part), weight)
            target = subsets[i : i + images, row : row + 2 * rows]
            _transform_output(products, bias, target)
    if d > 1:
        subsets = subsets.unflatten(0, (n, d, d))
        for i in range(d):
            for j in range(d):
                target = pixels[:, i::d, j::d]
                target.copy_(subsets[:, i, j, : target.shape[1], : target.shape[2]])
    return result


def _transform_input(x: torch.Tensor) -> torch.Tensor:
    """(n, 2r+2, 2c+2, C) pixels -> (16, n*r*c, C), of tiles of 4x4 pixels that overlap by 2."""
    n, height, width, channels = x.shape
    half = x.new_empty(4, n, height // 2 - 1, width, channels)
    _transform_axis(x, 1, half)
    tiles = x.new_empty(4, 4, *half.shape[1:3], width // 2 - 1, channels)
    _transform_axis(half, 3, tiles.unbind(1))
    return tiles.view(16, -1, channels)


def _transform_axis(x: torch.Tensor, axis: int, out: torch.Tensor | Sequence[torch.Tensor]) -> None:
    """`axis` of pixels to four planes, into the four of `out`."""
    size = x.shape[axis]
    a, b, c, d = (
        x[(slice(None),) * axis + (slice(start, size - 2 + start, 2),)] for start in range(4)
    )
    torch.sub(a, c, out=out[0])
    torch.add(b, c, out=out[1])
    torch.sub(c, b, out=out[2])
    torch.sub(b, d, out=out[3])


def _transform_output(products: torch.Tensor, bias: torch.Tensor, out: torch.Tensor) -> None:
    """(16, n*r*c, C) products -> `out`, (n, 2r, 2c, C); one less where the size is odd."""
    n, height, width, channels = out.shape
    a, b, c, d = products.view(4, 4, n, (height + 1) // 2, (width + 1) // 2, channels)
    for row, half in enumerate(((b + c).add_(a), (b - c).sub_(d))):
        a_, b_, c_, d_ = half
        for column, tile in enumerate(((b_ + c_).add_(a_), (b_ - c_).sub_(d_))):
            target = out[:, row::2, column::2]
            torch.add(tile[:, : target.shape[1], : target.shape[2]], bias, out=target)
