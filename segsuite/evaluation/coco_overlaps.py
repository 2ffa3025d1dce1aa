"""The IoU of detections with the objects of their image and category: of boxes, of masks, and of
masks and their boundaries (Cheng et al., "Boundary IoU", CVPR 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from .boundary import band_width
from .coco_arrays import COCODetections, COCOObjects, Segmentation

# Pairs below it match at no threshold, so they are left out.
LEAST_IOU = 0.5


def find_pairs(
    detections: COCODetections, objects: COCOObjects
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of a detection and an object of its image and category.

    Args:
        detections: by image, and within one by category.

    Returns:
        (P,) rows of `detections`, ascending; (P,) rows of `objects`, for each detection in their
        order; (P,) the groups, images and categories, that they belong to, ascending.
    """
    order = np.lexsort((np.arange(len(objects)), objects.categories, objects.images))
    stride = 1 + max(int(c.categories.max(initial=0)) for c in (objects, detections))
    keys = objects.images[order] * stride + objects.categories[order]
    wanted = detections.images * stride + detections.categories
    first, last = (np.searchsorted(keys, wanted, side=side) for side in ("left", "right"))
    counts = last - first
    found = np.repeat(np.arange(len(detections)), counts)
    within = np.arange(len(found)) - np.repeat(np.cumsum(counts) - counts, counts)
    return found, order[np.repeat(first, counts) + within], wanted[found]


def box_ious(found: np.ndarray, true: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """The IoU of pairs of boxes, the arithmetic of pycocotools.

    Args:
        found, true: (P, 4) x, y, width, height.
        crowds: (P,) bool: of a crowd it is the share of the detection that lies inside.
    """
    corner = np.maximum(found[:, :2], true[:, :2])
    sides = np.minimum(found[:, :2] + found[:, 2:], true[:, :2] + true[:, 2:]) - corner
    intersection = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], 0)
    area, true_area = found[:, 2] * found[:, 3], true[:, 2] * true[:, 3]
    union = np.where(crowds, area, area + true_area - intersection)
    return np.divide(intersection, union, out=np.zeros(len(found)), where=intersection > 0)


class Masks:
    """Masks of objects or detections, and what is asked of them more than once.

    Args:
        masks: as `COCOObjects` and `COCODetections` have them, none missing.
        sizes: (N, 2), height and width of their images.
    """

    def __init__(self, masks: Sequence[Segmentation | None], sizes: np.ndarray):
        self.rles = [_as_rle(mask, size) for mask, size in zip(masks, sizes.tolist(), strict=True)]
        self._bands: dict[int, tuple[int, int, np.ndarray]] = {}

    def areas(self) -> np.ndarray:
        """(N,) float64 pixels."""
        # One by one: of a list pycocotools gives areas as bytes.
        return np.array([coco_mask.area(rle) for rle in self.rles], dtype=np.float64)

    def band(self, row: int, dilation_ratio: float) -> tuple[int, int, np.ndarray]:
        """The pixels of a mask that lie along its outline.

        Returns:
            The first row and column of its box, and (h, w) uint8 in it: 1 where the band is.
        """
        if row not in self._bands:
            self._bands[row] = mask_band(self.rles[row], dilation_ratio)
        return self._bands[row]


def mask_ious(
    found: Masks, true: Masks, pairs: tuple[np.ndarray, np.ndarray, np.ndarray], crowds: np.ndarray
) -> np.ndarray:
    """The IoU of pairs of masks.

    Args:
        pairs: see `find_pairs`; each group has all pairs of its detections and its objects.
        crowds: (P,) bool, as in `box_ious`.
    """
    rows, columns, groups = pairs
    ious = np.zeros(len(rows))
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    for start, end in pairwise([*starts.tolist(), len(rows)]):
        width = int(np.searchsorted(rows[start:end], rows[start], side="right"))
        ious[start:end] = coco_mask.iou(
            [found.rles[row] for row in rows[start:end:width].tolist()],
            [true.rles[column] for column in columns[start : start + width].tolist()],
            crowds[start : start + width].tolist(),
        ).ravel()
    return ious


def boundary_ious(
    found: Masks,
    true: Masks,
    pairs: tuple[np.ndarray, np.ndarray],
    ious: np.ndarray,
    dilation_ratio: float,
) -> np.ndarray:
    """The smaller one of the IoU of two masks and of the IoU of their bands.

    Args:
        pairs: (P,) rows of `found` and (P,) rows of `true`.
        ious: (P,) of the masks.
        dilation_ratio: width of the bands as a share of the image diagonal.
    """
    smaller = ious.copy()
    for i, (row, column) in enumerate(zip(*(side.tolist() for side in pairs), strict=True)):
        bands = found.band(row, dilation_ratio), true.band(column, dilation_ratio)
        smaller[i] = min(smaller[i], _window_iou(*bands))
    return smaller


def mask_band(rle: dict[str, Any], dilation_ratio: float) -> tuple[int, int, np.ndarray]:
    """The band of a mask: its pixels that d erosions by a 3 x 3 square remove, d a share of the
    image diagonal, where all outside of the image is no mask.

    Args:
        rle: compressed.

    Returns:
        The first row and column of the mask's box, and (h, w) uint8 in it: 1 where the band is.
    """
    left, top, width, height = coco_mask.toBbox(rle).astype(int).tolist()
    window = coco_mask.decode(rle)[top : top + height, left : left + width]
    image_height, image_width = rle["size"]
    distance = band_width(image_height, image_width, dilation_ratio)
    if min(width, height) <= 2 * distance:  # nothing lies further inside
        return top, left, window
    window = np.ascontiguousarray(window)
    # The box ends where the mask does: beyond it is nothing of it.
    inside = cv2.erode(
        window,
        np.ones((2 * distance + 1, 2 * distance + 1), np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return top, left, window - inside


def _window_iou(first: tuple[int, int, np.ndarray], second: tuple[int, int, np.ndarray]) -> float:
    """The IoU of two masks in windows of the image."""
    (top, left, a), (other_top, other_left, b) = first, second
    low = max(top, other_top), max(left, other_left)
    high = (
        min(top + a.shape[0], other_top + b.shape[0]),
        min(left + a.shape[1], other_left + b.shape[1]),
    )
    if low[0] >= high[0] or low[1] >= high[1]:
        return 0.0
    common = cv2.countNonZero(
        a[low[0] - top : high[0] - top, low[1] - left : high[1] - left]
        & b[low[0] - other_top : high[0] - other_top, low[1] - other_left : high[1] - other_left]
    )
    return common / (np.count_nonzero(a) + np.count_nonzero(b) - common)


def _as_rle(mask: Segmentation | None, size: Sequence[int]) -> dict[str, Any]:
    height, width = size
    if isinstance(mask, list):
        rle: dict[str, Any] = coco_mask.merge(coco_mask.frPyObjects(mask, height, width))
        return rle
    return {"size": [height, width], "counts": mask}
