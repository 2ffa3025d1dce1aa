"""`sem_seg_predictions` and `SemSegLogits.full` for a batch of images of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from segsuite.ops.bilinear import half_pixel_positions, neighbours


def logits_at(
    logits: Tensor,
    image_size: Sequence[int],
    padded_size: Sequence[int],
    size: Tensor,
    stride: int | None,
) -> Tensor:
    """The logits of images at the size that is wanted.

    Args:
        logits: (N, K, h, w) of the padded images.
        image_size, padded_size: (height, width) without and with padding.
        size: (2,) int64 the height and width that are wanted.
        stride: see `sem_seg_predictions`.

    Returns:
        (N, K, H', W').
    """
    if stride is not None:
        # By the stride to the image's own size, and from there as if that were the logits.
        for dim, length in zip((2, 3), image_size, strict=True):
            logits = _resampled(logits, dim, length, _ratio(1, stride))
        covered = [_ratio(length, 1) for length in image_size]
    else:
        covered = [
            _ratio(logits.shape[dim] * length, padded)
            for dim, length, padded in zip((2, 3), image_size, padded_size, strict=True)
        ]
    for dim, wanted in ((2, size[0]), (3, size[1])):
        count = cast("int", wanted.item())
        torch._check(count >= 1)
        logits = _resampled(logits, dim, count, covered[dim - 2] / wanted)
    return logits


def _ratio(numerator: int, denominator: int) -> Tensor:
    """In double precision, also of sizes that are only known when the graph runs."""
    return torch.scalar_tensor(numerator, dtype=torch.float64) / denominator


def _resampled(x: Tensor, dim: int, length: int, scale: Tensor) -> Tensor:
    """`length` samples along `dim`, each `scale` elements of `x` wide, as `SemSegLogits.grid`."""
    pixels = torch.arange(length, dtype=torch.float64)
    low, high, weight = neighbours(half_pixel_positions(pixels, scale), x.shape[dim])
    weight = weight.to(x.dtype).view(-1, *[1] * (x.dim() - 1 - dim))
    below = x.index_select(dim, low)
    return below + weight * (x.index_select(dim, high) - below)
