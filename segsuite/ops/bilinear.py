"""The rule of bilinear sampling: where pixels lie among samples, and what each sample weighs there.

The centre of pixel i is at ``i + 0.5``, and a position p is counted from the centre of the first
sample: sample i is at p = i (``align_corners=False`` of ``torch.nn.functional.interpolate``).
Along each axis the value at a position is interpolated between the two samples around it. The C++
and CUDA operators have the same rule. Pillow's resizing of 8-bit images, which takes the mean of
many pixels where an image shrinks, has an integer arithmetic of its own: see `resize_window`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def half_pixel_positions(pixels: Tensor, scale: float | Tensor) -> Tensor:
    """Where pixels lie in a row of samples that covers the same length.

    Args:
        pixels: indices, of any type.
        scale: samples to a pixel: their number divided by that of the pixels.

    Returns:
        Positions, of the type of `pixels`, the default one for integers.
    """
    return (pixels + 0.5) * scale - 0.5


def pixels_up_to(position: float, scale: float) -> int:
    """How many pixels, counted from the first, `half_pixel_positions` places up to a position."""
    return int((position + 0.5) / scale + 0.5)


def positions_in_box(pixels: Tensor, low: Tensor, high: Tensor, size: int) -> Tensor:
    """Where pixels lie among `size` samples that are spread evenly from `low` to `high`.

    Args:
        pixels: indices, of any type.
        low, high: the edges of the box in pixels, 0 being the first pixel's edge; low < high.
    """
    return (pixels + 0.5 - low) / (high - low) * size - 0.5


def neighbours(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The samples below and above each position, int64, and what the upper one weighs, in [0, 1).

    Beyond the first and the last of `size` samples the value is theirs.
    """
    position = position.clamp(0, size - 1)
    low = position.floor()
    index = low.long()
    return index, (index + 1).clamp(max=size - 1), position - low


def hat_weights(position: Tensor, size: int) -> Tensor:
    """What each of `size` samples weighs at each of (...) positions: (..., size), of their type.

    Beyond the first and the last sample the weights fade to zero within one sample. Clamp positions
    to [0, size - 1] to have the outermost sample's value there.
    """
    distance = position[..., None] - torch.arange(size, device=position.device)
    return (1 - distance.abs()).clamp_(min=0)
