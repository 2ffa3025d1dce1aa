"""One annotation of a COCO file, as it is written, to what it must mean.

This is the rule. `coco_table` applies it to whole files: what is evidently as the format has it
goes past it there, all else comes here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segsuite.errors import DataError
from segsuite.structures import to_rle
from segsuite.structures.polygons import cut_off, reach

from .coco_faults import (
    AREA_INVALID,
    BBOX_EMPTY,
    BBOX_FAR,
    BBOX_FROM_MASK,
    BBOX_INVALID,
    BBOX_OUTSIDE,
    FLAG_INVALID,
    POLYGON_FAR,
    POLYGON_INVALID,
    POLYGON_NOT_FINITE,
    POLYGON_OUTSIDE,
    RLE_INVALID,
    SEGMENTATION_INVALID,
    VALUE_TYPE,
    TakesFaults,
)
from .coco_values import as_flag, as_integer, as_number

# A mask as it is kept: flat float64 arrays of polygons, or a compressed RLE.
Segmentation = list[np.ndarray] | dict[str, Any]


def clean_annotation(
    annotation: Mapping[str, Any], height: int, width: int, faults: TakesFaults
) -> dict[str, Any] | None:
    """Take from an annotation what training and evaluation need.

    Args:
        annotation: of a COCO file.
        height, width: of its image, in pixels.
        faults: told about what can't be used, and about what is read as something else.

    Returns:
        ``id``, ``iscrowd`` 0 or 1, ``bbox`` [x, y, width, height] in pixels; ``area`` if the
        annotation has a usable one; and, unless there is no usable mask, ``segmentation``: a list
        of flat float64 arrays or a compressed RLE. None where there is no usable box.
    """
    id_ = annotation.get("id")
    bbox = annotation.get("bbox")
    if not _is_absent(bbox):
        bbox = _clean_bbox(bbox, height, width, id_, faults)
        if bbox is None:
            return None
    segmentation = clean_segmentation(annotation.get("segmentation"), height, width, id_, faults)
    if _is_absent(bbox):
        bbox = None if segmentation is None else _mask_box(segmentation, height, width)
        if bbox is None:
            faults.add(BBOX_INVALID, id_)
            return None
        faults.add(BBOX_FROM_MASK, id_)
    cleaned = {"id": id_, "iscrowd": int(_is_crowd(annotation, id_, faults)), "bbox": bbox}
    area = annotation.get("area")
    if area is not None:
        number = as_number(area)
        if number is None or number < 0:
            faults.add(AREA_INVALID, id_, f"area is {area!r}")
        else:
            cleaned["area"] = number
    if segmentation is not None:
        cleaned["segmentation"] = segmentation
    return cleaned


def mask_area(segmentation: Segmentation, height: int, width: int) -> float:
    """The pixels of a mask, as COCO counts them."""
    return float(coco_mask.area(to_rle(segmentation, height, width)))


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, (list, tuple)) and not value)


def _clean_bbox(
    bbox: Any, height: int, width: int, id_: Any, faults: TakesFaults
) -> list[float] | None:
    """[x, y, width, height], or None where it can't be used."""
    is_list = isinstance(bbox, (list, tuple, np.ndarray))
    numbers = [as_number(value) for value in bbox] if is_list else []
    if len(numbers) != 4 or None in numbers:
        faults.add(BBOX_INVALID, id_, f"bbox is {str(bbox)[:80]}")
        return None
    if any(isinstance(value, str) for value in bbox):
        faults.add(VALUE_TYPE, id_, "bbox has numbers as text")
    x, y, w, h = (float(number) for number in numbers if number is not None)
    if w <= 0 or h <= 0:
        faults.add(BBOX_EMPTY, id_)
        return None
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        faults.add(BBOX_OUTSIDE, id_)
        return None
    limit = reach(height, width)
    if min(x, y) < -limit or max(x + w, y + h) > limit:
        faults.add(BBOX_FAR, id_, f"bbox is {[x, y, w, h]}")
        right, bottom = min(x + w, width), min(y + h, height)
        x, y = max(x, 0.0), max(y, 0.0)
        w, h = right - x, bottom - y
    return [x, y, w, h]


def _mask_box(segmentation: Segmentation, height: int, width: int) -> list[float] | None:
    box = coco_mask.toBbox(to_rle(segmentation, height, width)).tolist()
    return box if box[2] > 0 and box[3] > 0 else None


def _is_crowd(annotation: Mapping[str, Any], id_: Any, faults: TakesFaults) -> bool:
    """Whether an object is neither learned nor counted as wrong: ``iscrowd``, or ``ignore``, which
    is that of older files."""
    is_set = False
    for key in ("iscrowd", "ignore"):
        value = annotation.get(key)
        flag = as_flag(value)
        if flag is None:
            faults.add(FLAG_INVALID, id_, f"{key} is {str(value)[:40]!r}")
        elif isinstance(value, str):
            faults.add(VALUE_TYPE, id_, f"{key} is the text {value!r} instead of a number")
        is_set |= bool(flag)
    return is_set


def clean_segmentation(
    segmentation: Any, height: int, width: int, id_: Any, faults: TakesFaults
) -> Segmentation | None:
    """The usable polygons of a mask, or its RLE, compressed; None where there is nothing to use.

    Besides COCO's forms it may be one flat polygon, lists of points [x, y], or any of these as JSON
    in a text. Polygons that reach far beyond the image are clipped.

    Args:
        id_: of the annotation, for `faults`.
    """
    if isinstance(segmentation, str) and segmentation.strip():
        try:
            segmentation = json.loads(segmentation)
        except (RecursionError, ValueError):
            faults.add(SEGMENTATION_INVALID, id_, "it is text (a string), which is not JSON")
            return None
        faults.add(VALUE_TYPE, id_, "segmentation is text (a string) with JSON in it")
    if isinstance(segmentation, Mapping) and segmentation:
        return _clean_rle(segmentation, height, width, id_, faults)
    if isinstance(segmentation, (list, tuple, np.ndarray)):
        polygons, is_usual = _as_polygons(segmentation)
        if not is_usual:
            faults.add(VALUE_TYPE, id_, "segmentation is one polygon, not a list of polygons")
        cleaned = [_clean_polygon(p, height, width, id_, faults) for p in polygons]
        return [points for points in cleaned if points is not None] or None
    if segmentation is not None and segmentation not in ("", {}):
        detail = f"it is {str(segmentation)[:40]!r}"
        faults.add(SEGMENTATION_INVALID, id_, detail)
    return None


def _as_polygons(segmentation: Sequence[Any] | np.ndarray) -> tuple[list[Any], bool]:
    """A list of polygons, whether it is one, or a flat polygon, or the points of one; and whether
    it was a list."""
    parts = list(segmentation)
    if parts and not any(isinstance(part, (list, tuple, np.ndarray, dict)) for part in parts):
        return [parts], False
    if len(parts) > 2 and all(_is_point(part) for part in parts):
        return [parts], False
    return [part for part in parts if not _is_absent(part)], True


def _is_point(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray)) and len(value) == 2


def _clean_polygon(
    polygon: Any, height: int, width: int, id_: Any, faults: TakesFaults
) -> np.ndarray | None:
    try:
        points = np.array(polygon, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    except OverflowError:
        points = np.full(6, np.inf)
    if points.ndim == 2 and points.shape[1] == 2:
        points = points.ravel()
    if points.ndim != 1 or len(points) < 6 or len(points) % 2:
        faults.add(POLYGON_INVALID, id_)
        return None
    if not np.isfinite(points).all():
        faults.add(POLYGON_NOT_FINITE, id_)
        return None
    x, y = points[0::2], points[1::2]
    if x.min() >= width or y.min() >= height or x.max() <= 0 or y.max() <= 0:
        faults.add(POLYGON_OUTSIDE, id_)
        return None
    if max(-points.min(), points.max()) > reach(height, width):
        points = cut_off(points, height, width)
        faults.add(POLYGON_FAR if len(points) else POLYGON_OUTSIDE, id_)
    return points if len(points) else None


def _clean_rle(
    rle: Mapping[str, Any], height: int, width: int, id_: Any, faults: TakesFaults
) -> dict[str, Any] | None:
    size = rle.get("size")
    if isinstance(size, (list, tuple, np.ndarray)):
        numbers = [as_integer(value) for value in size]
        size = list(size) if None in numbers else numbers
    try:
        return to_rle({**rle, "size": size}, height, width)
    except DataError as e:
        faults.add(RLE_INVALID, id_, str(e))
        return None
