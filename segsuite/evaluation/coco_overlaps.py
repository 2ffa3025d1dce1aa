"""The IoU of detections with the objects of their image and category: of boxes, of masks, and of
masks and their boundaries (Cheng et al., "Boundary IoU", CVPR 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

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
    """Masks of objects or detections.

    Args:
        masks: as `COCOObjects` and `COCODetections` have them, none missing.
        sizes: (N, 2), height and width of their images.
    """

    def __init__(self, masks: Sequence[Segmentation | None], sizes: np.ndarray):
        self.rles = [_as_rle(mask, size) for mask, size in zip(masks, sizes.tolist(), strict=True)]

    def areas(self) -> np.ndarray:
        """(N,) float64 pixels."""
        # One by one: of a list pycocotools gives areas as bytes.
        return np.array([coco_mask.area(rle) for rle in self.rles], dtype=np.float64)


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
        ious: (P,) of the masks, above 0.
        dilation_ratio: width of the bands as a share of the image diagonal.
    """
    from .coco_bands import Bands  # which needs PyTorch, as nothing else here does

    bands = [Bands(of.rles, dilation_ratio) for of in (found, true)]
    for of, rows in zip(bands, pairs, strict=True):
        of.add(np.unique(rows).tolist())
    of_bands = [
        bands[0].iou(row, bands[1], column)
        for row, column in zip(*(rows.tolist() for rows in pairs), strict=True)
    ]
    return np.minimum(ious, np.array(of_bands, dtype=np.float64))


def _as_rle(mask: Segmentation | None, size: Sequence[int]) -> dict[str, Any]:
    height, width = size
    if isinstance(mask, list):
        rle: dict[str, Any] = coco_mask.merge(coco_mask.frPyObjects(mask, height, width))
        return rle
    return {"size": [height, width], "counts": mask}
