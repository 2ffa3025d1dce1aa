"""3x3 convolutions with fewer multiplications: F(2x2, 3x3) of Winograd's minimal filtering.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: four pixels of the
output take 16 products of transformed pixels and weights instead of 36. The products are 16 matrix
products over channels, so wide layers gain; in narrow ones the transforms cost more than is saved.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

# Tiles that are transformed at a time: few enough for the processor's caches, and enough that the
# weights are not read for a handful of rows.
_TILES_AT_ONCE = 1024


def winograd_weight(weight: torch.Tensor) -> torch.Tensor:
    """Transform the weight (C_out, C_in, 3, 3) of a convolution to (16, C_in, C_out)."""
    transform = weight.new_tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    transformed = torch.einsum("ak,bl,oikl->abio", transform, transform, weight)
    return transformed.flatten(0, 1).contiguous()


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
    out = x.new_empty(len(padded), 2 * tile_rows, 2 * tile_columns, weight.shape[2])
    rows = max(1, _TILES_AT_ONCE // tile_columns)
    images = max(1, rows // tile_rows)
    for i in range(0, len(padded), images):
        for row in range(0, 2 * tile_rows, 2 * rows):
            part = padded[i : i + images, row : row + 2 * rows + 2]
            products = torch.bmm(_transform_input(part), weight)
            target = out[i : i + images, row : row + 2 * rows]
            _transform_output(products, bias, target)
    if d > 1:
        out = out.view(n, d, d, *out.shape[1:]).permute(0, 3, 1, 4, 2, 5)
        out = out.flatten(3, 4).flatten(1, 2)
    return out[:, :height, :width].permute(0, 3, 1, 2)


def _transform_input(x: torch.Tensor) -> torch.Tensor:
    """(n, 2r+2, 2c+2, C) pixels -> (16, n*r*c, C), of tiles of 4x4 pixels that overlap by 2."""
    n, height, width, channels = x.shape
    half = x.new_empty(4, n, height // 2 - 1, width, channels)
    _transform_axis(x, 1, half)
    tiles = x.new_empty(4, 4, *half.shape[1:3], width // 2 - 1, channels)
    _transform_axis(half, 3, tiles.unbind(1))
    return tiles.view(16, -1, channels)


def _transform_axis(x: torch.Tensor, axis: int, out) -> None:
    size = x.shape[axis]
    a, b, c, d = (
        x[(slice(None),) * axis + (slice(start, size - 2 + start, 2),)] for start in range(4)
    )
    torch.sub(a, c, out=out[0])
    torch.add(b, c, out=out[1])
    torch.sub(c, b, out=out[2])
    torch.sub(b, d, out=out[3])


def _transform_output(products: torch.Tensor, bias: torch.Tensor, out: torch.Tensor) -> None:
    """(16, n*r*c, C) products -> `out`, (n, 2r, 2c, C)."""
    n, height, width, channels = out.shape
    products = products.view(4, 4, n, height // 2, width // 2, channels)
    a, b, c, d = products
    for row, half in enumerate(((b + c).add_(a), (b - c).sub_(d))):
        a_, b_, c_, d_ = half
        torch.add((b_ + c_).add_(a_), bias, out=out[:, row::2, 0::2])
        torch.add((b_ - c_).sub_(d_), bias, out=out[:, row::2, 1::2])
