"""Resizing as Pillow does it, of the whole or only of a window of the result."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

Window = tuple[int, int, int, int]  # (y, x, height, width) in the resized image


def resize_bilinear(
    image: np.ndarray, size: tuple[int, int], window: Window | None = None
) -> np.ndarray:
    """Resize bilinear, antialiased where it shrinks, and cut out a window.

    The values are those of ``Image.resize(size, BILINEAR)`` followed by a crop, bit for bit. When
    the image grows, much of what the crop would drop is not computed in the first place.
    (``Image.resize(box=...)`` computes even less, but takes the box in single precision and so
    rounds some values differently.)

    Args:
        image: (H, W, 3) or (H, W) uint8.
        size: (height, width) of the whole.

    Returns:
        (h, w, 3) or (h, w) uint8, `size` or that of the window.
    """
    old_height, old_width = image.shape[:2]
    y, x, height, width = window or (0, 0, *size)
    if (old_height, old_width) == size:
        return image[y : y + height, x : x + width]
    if size[0] < old_height or window is None:
        pixels = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(pixels.crop((x, y, x + width, y + height)))
    # Pillow resizes along x first, rounds to 8 bits, and then resizes along y; only for images that
    # lose height the order depends on its version. Along x, only the rows that the window needs ...
    scale = old_height / size[0]
    top = max(math.floor((y + 0.5) * scale) - 1, 0)
    bottom = min(math.floor((y + height - 0.5) * scale) + 2, old_height)
    pixels = Image.fromarray(image[top:bottom])
    pixels = pixels.resize((size[1], bottom - top), Image.Resampling.BILINEAR)
    # ... and along y only its columns. The rows above and below are filled up, so that the place of
    # each row among all, from which Pillow computes its weights, stays the same.
    pixels = pixels.crop((x, -top, x + width, old_height - top))
    pixels = pixels.resize((width, size[0]), Image.Resampling.BILINEAR)
    return np.asarray(pixels.crop((0, y, width, y + height)))


def resize_nearest(
    labels: np.ndarray, size: tuple[int, int], window: Window | None = None
) -> np.ndarray:
    """Take the nearest pixel, as Pillow chooses it, for each pixel of the resized map or a window.

    Args:
        labels: (H, W), any type.
        size: (height, width) of the whole.

    Returns:
        (h, w) of the same type, `size` or that of the window.
    """
    y, x, height, width = window or (0, 0, *size)
    if labels.shape == size:
        return labels[y : y + height, x : x + width]
    rows, columns = (_nearest(n, new) for n, new in zip(labels.shape, size, strict=True))
    return labels[rows[y : y + height]][:, columns[x : x + width]]


def _nearest(size: int, new_size: int) -> np.ndarray:
    """The source index of each output index: Pillow adds up the step, and so does this."""
    step = size / new_size
    positions = np.full(new_size, step)
    positions[0] = step * 0.5
    return np.add.accumulate(positions).astype(np.intp)
