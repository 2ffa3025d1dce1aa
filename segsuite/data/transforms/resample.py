"""Resizing as Pillow does it, of the whole or only of a window of the result."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from segsuite.ops import EXTENSION_LOADED, resize_window

Window = tuple[int, int, int, int]  # (y, x, height, width) in the resized image


def resize_bilinear(
    image: np.ndarray, size: tuple[int, int], window: Window | None = None
) -> np.ndarray:
    """Resize bilinear, antialiased where it shrinks, and cut out a window.

    The values are Pillow's, which resizes along x, rounds to 8 bits and resizes along y. (From
    Pillow 13 on, ``Image.resize`` takes the axes of some images, tall ones above all, in the other
    order.) ``Image.resize(box=...)`` would compute a window alone too, but takes the box in single
    precision and so rounds some values differently.

    Args:
        image: (H, W, C) uint8.
        size: (height, width) of the whole.

    Returns:
        (h, w, C) uint8, `size` or that of the window.
    """
    if image.shape[2] != 3 and image.shape[:2] != size:
        return _by_threes(image, size, window)
    y, x, height, width = window = window or (0, 0, *size)
    if image.shape[:2] == size:
        return image[y : y + height, x : x + width]
    if EXTENSION_LOADED:
        # PyTorch has no tensors of read-only memory.
        image = np.require(image, requirements=["C_CONTIGUOUS", "WRITEABLE"])
        return resize_window(torch.from_numpy(image), size, window).numpy()
    bilinear = Image.Resampling.BILINEAR
    pixels = Image.fromarray(image).resize((size[1], image.shape[0]), bilinear)
    pixels = pixels.crop((x, 0, x + width, image.shape[0]))
    return np.asarray(pixels.resize((width, size[0]), bilinear).crop((0, y, width, y + height)))


def _by_threes(image: np.ndarray, size: tuple[int, int], window: Window | None) -> np.ndarray:
    """Any number of bands, three at a time as if they were colours."""
    groups = []
    for start in range(0, image.shape[2], 3):
        bands = np.arange(start, start + 3).clip(max=image.shape[2] - 1)
        groups.append(resize_bilinear(np.ascontiguousarray(image[..., bands]), size, window))
    return np.concatenate(groups, axis=2)[..., : image.shape[2]]


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
