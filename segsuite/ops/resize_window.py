"""Bilinear resize of an 8-bit image, of which only a window is computed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segsuite.ops._library import EXTENSION_LOADED, has_kernels

Window = tuple[int, int, int, int]  # (top, left, height, width) in the resized image

_BITS = 22  # weights are integers in units of 2**-22, as Pillow's are


def resize_window(image: Tensor, size: tuple[int, int], window: Window) -> Tensor:
    """Resize an image and cut out a window, without computing the rest.

    Bilinear, antialiased where it shrinks, in the integer arithmetic of Pillow's
    ``Image.resize(size, BILINEAR)``: along x, rounded to 8 bits, then along y. Pillow itself may
    take the axes in the other order when the height shrinks; else the values are the same.

    Args:
        image: (H, W, 3) uint8, on the CPU.
        size: (height, width) of the whole resized image.
        window: (top, left, height, width) in it.

    Returns:
        (window height, window width, 3) uint8.

    Raises:
        ValueError: another kind of image, or a window that leaves the resized image.
    """
    if image.dim() != 3 or image.shape[2] != 3 or image.dtype != torch.uint8 or not image.numel():
        raise ValueError(
            f"image is {tuple(image.shape)} {image.dtype}; expected (H, W, 3) uint8, not empty"
        )
    top, left, height, width = window
    is_inside = top >= 0 and left >= 0 and top + height <= size[0] and left + width <= size[1]
    if not is_inside or height < 1 or width < 1:
        raise ValueError(
            f"window (top, left, height, width) = {tuple(window)} leaves the resized image of "
            f"{size[0]} x {size[1]} pixels (height x width)"
        )
    if has_kernels(image.device):
        return torch.ops.segsuite.resize_window(image.contiguous(), *size, *window)
    return _reference(image, size, window)


def _reference(image: Tensor, size: tuple[int, int], window: Window) -> Tensor:
    rows, row_weights = _axis(image.shape[0], size[0], window[0], window[2])
    columns, column_weights = _axis(image.shape[1], size[1], window[1], window[3])
    half = 1 << (_BITS - 1)
    # (H, w, taps, 3), then (h, taps, w, 3)
    narrow = (image[:, columns] * column_weights[:, :, None]).sum(2) + half >> _BITS
    return ((narrow[rows] * row_weights[:, :, None, None]).sum(1) + half >> _BITS).to(torch.uint8)


def _axis(size: int, new_size: int, start: int, count: int) -> tuple[Tensor, Tensor]:
    """Input indices and weights, both (count, taps) int64, of outputs start .. start + count."""
    scale = size / new_size
    support = max(scale, 1.0)
    center = (torch.arange(start, start + count, dtype=torch.float64) + 0.5) * scale
    first = (center - support + 0.5).to(torch.int64).clamp(min=0)
    end = (center + support + 0.5).to(torch.int64).clamp(max=size)
    index = first[:, None] + torch.arange(2 * math.ceil(support) + 1)
    triangle = 1 - ((index - center[:, None] + 0.5) * (1 / support)).abs()
    triangle = triangle.clamp(min=0).where(index < end[:, None], 0)
    share = triangle / triangle.sum(1, keepdim=True)
    return index.clamp(max=size - 1), (share * (1 << _BITS) + 0.5).to(torch.int64)


if EXTENSION_LOADED:

    @torch.library.register_fake("segsuite::resize_window")
    def _(
        image: Tensor,
        height: int,
        width: int,
        top: int,
        left: int,
        window_height: int,
        window_width: int,
    ) -> Tensor:
        return image.new_empty((window_height, window_width, 3))
