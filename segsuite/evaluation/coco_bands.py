"""The pixels of masks along their outlines, for the IoU of boundaries (Cheng et al., "Boundary
IoU", CVPR 2021), in the masks' boxes alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from segsuite.structures.run_lengths import decode_runs

from .boundary import band_width

# Masks whose run lengths are decoded together.
_CHUNK = 1024
# The first column and row, and (w, h) uint8 from there, column by column.
Window = tuple[int, int, np.ndarray]


class Bands:
    """Bands of masks, each made once.

    Args:
        rles: compressed.
        dilation_ratio: width of the bands as a share of the image diagonal.
    """

    def __init__(self, rles: Sequence[Mapping[str, Any]], dilation_ratio: float):
        self._rles, self._dilation_ratio = rles, dilation_ratio
        self._bands: dict[int, tuple[Window, int]] = {}

    def add(self, rows: Sequence[int]) -> None:
        """Make those of some masks, by their places."""
        for start in range(0, len(rows), _CHUNK):
            chosen = rows[start : start + _CHUNK]
            windows = mask_windows([self._rles[row] for row in chosen])
            for row, window in zip(chosen, windows, strict=True):
                band = band_of(window, self._rles[row]["size"], self._dilation_ratio)
                self._bands[row] = band, cv2.countNonZero(band[2])

    def iou(self, row: int, others: Bands, other_row: int) -> float:
        """That of two bands which have been added."""
        (band, pixels), (other, other_pixels) = self._bands[row], others._bands[other_row]
        common = _common_pixels(band, other)
        return common / (pixels + other_pixels - common)


def mask_windows(rles: Sequence[Mapping[str, Any]]) -> Iterator[Window]:
    """Masks in their boxes; each must have a pixel."""
    for rle, runs in zip(rles, decode_runs([rle["counts"] for rle in rles]), strict=True):
        height = rle["size"][0]
        ends = np.cumsum(runs)
        starts, stops = ends[:-1:2], ends[1::2]  # of the runs of ones
        has_pixels = stops > starts
        starts, stops = starts[has_pixels], stops[has_pixels]
        left, right = int(starts[0]) // height, (int(stops[-1]) - 1) // height + 1
        top, bottom = 0, height
        if ((stops - 1) // height == starts // height).all():  # no run goes around a column's end
            top, bottom = int((starts % height).min()), int(((stops - 1) % height).max()) + 1
        # The runs from the first pixel of the first column to the last one of the last.
        clipped = np.diff(ends.clip(left * height, right * height), prepend=left * height)
        values = np.arange(len(clipped), dtype=np.uint8) & 1
        columns = np.repeat(values, clipped).reshape(right - left, height)
        yield left, top, columns[:, top:bottom]


def band_of(window: Window, image_size: Sequence[int], dilation_ratio: float) -> Window:
    """The pixels of a mask that d erosions by a 3 x 3 square remove, d a share of the image
    diagonal, where all outside of the image is no mask.

    Args:
        window: of the mask: its box, so beyond it is nothing of it.
        image_size: (height, width).
    """
    left, top, mask = window
    height, width = image_size
    distance = band_width(height, width, dilation_ratio)
    if min(mask.shape) <= 2 * distance:  # nothing lies further inside
        return left, top, np.ascontiguousarray(mask)
    mask = np.ascontiguousarray(mask)
    square = np.ones((2 * distance + 1, 2 * distance + 1), np.uint8)
    inside = cv2.erode(mask, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return left, top, mask - inside


def _common_pixels(first: Window, second: Window) -> int:
    (left, top, a), (other_left, other_top, b) = first, second
    low = max(left, other_left), max(top, other_top)
    high = (
        min(left + a.shape[0], other_left + b.shape[0]),
        min(top + a.shape[1], other_top + b.shape[1]),
    )
    if low[0] >= high[0] or low[1] >= high[1]:
        return 0
    a = a[low[0] - left : high[0] - left, low[1] - top : high[1] - top]
    b = b[low[0] - other_left : high[0] - other_left, low[1] - other_top : high[1] - other_top]
    return int(np.count_nonzero(a & b))
