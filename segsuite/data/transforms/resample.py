"""Resizing as Pillow does it."""

from __future__ import annotations

import numpy as np
from PIL import Image


def resize_bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) or (H, W) uint8 to `size` (h, w), bilinear, antialiased when it shrinks."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def resize_nearest(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W) labels of any type to `size` (h, w) by the nearest pixel."""
    if labels.shape == size:
        return labels
    rows, columns = (_nearest(n, new) for n, new in zip(labels.shape, size, strict=True))
    return labels[rows[:, None], columns]


def _nearest(size: int, new_size: int) -> np.ndarray:
    """The source index of each output index: Pillow adds up the step, and so does this."""
    step = size / new_size
    positions = np.full(new_size, step)
    positions[0] = step * 0.5
    return np.add.accumulate(positions).astype(np.intp)
