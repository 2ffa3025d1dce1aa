"""Masks of instances from the few values that a model gives for each box."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Window = tuple[int, int, np.ndarray]
THRESHOLD = 0.5  # the probability from which on a pixel belongs to the instance


def paste_windows(
    probabilities: np.ndarray, boxes: np.ndarray, image_size: tuple[int, int]
) -> Iterator[Window]:
    """For each instance the part of the image that its mask lies in.

    A pixel takes the bilinear interpolation of the values around its centre, zero outside of the
    box, as Detectron2's and COCO's Mask R-CNN do.

    Args:
        probabilities: (D, M, M) float32 in [0, 1], spread evenly over each box.
        boxes: (D, 4) float32 x1, y1, x2, y2 in pixels of the image, wider and higher than 0.
        image_size: (height, width).

    Yields:
        The first row and column of it, and its pixels, (h, w) bool.
    """
    height, width = image_size
    for values, box in zip(probabilities.astype(np.float32), boxes, strict=True):
        x0, y0 = (max(int(np.floor(v)) - 1, 0) for v in box[:2])
        x1, y1 = (int(np.ceil(v)) + 1 for v in box[2:])
        rows = _interpolation(y0, min(y1, height), box[1], box[3], values.shape[0])
        columns = _interpolation(x0, min(x1, width), box[0], box[2], values.shape[1])
        yield y0, x0, rows @ values @ columns.T >= THRESHOLD


def whole_pixel_boxes(boxes: np.ndarray, mask_size: int) -> np.ndarray:
    """The boxes in which `paste_windows` pastes as torchvision does: into whole pixels.

    There a mask gets a margin of one value, its box is enlarged to match and rounded towards zero.

    Args:
        boxes: (D, 4) float32 x1, y1, x2, y2.
        mask_size: M of the M x M values in each box.
    """
    half, scale = np.float32(0.5), np.float32((mask_size + 2) / mask_size)
    centres = (boxes[:, 2:] + boxes[:, :2]) * half
    halves = (boxes[:, 2:] - boxes[:, :2]) * half * scale
    low, high = np.trunc(centres - halves), np.trunc(centres + halves) + 1
    margin = (high - low) / np.float32(mask_size + 2)
    return np.concatenate([low + margin, high - margin], axis=1)


def _interpolation(start: int, end: int, low: float, high: float, size: int) -> np.ndarray:
    """(end - start, size): what each of `size` values, spread evenly from `low` to `high`, weighs
    at the centres of the pixels from `start` on."""
    pixels = np.arange(start, max(end, start), dtype=np.float32)
    half = np.float32(0.5)
    positions = (pixels + half - low) / (high - low) * np.float32(size) - half
    distance = positions[:, None] - np.arange(size, dtype=np.float32)
    return np.maximum(1 - np.abs(distance), np.float32(0))
