"""The boxes of annotations, whichever way they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segsuite.errors import DataError
from segsuite.structures import BoxMode

from .image import read_image_size


def annotation_name(annotation: Mapping[str, Any], number: int) -> str:
    """What messages call an annotation, the one of this number in its record."""
    return f"annotation {annotation.get('id', f'number {number} (from 0)')}"


def box_mode(annotation: Mapping[str, Any]) -> BoxMode:
    """How the ``bbox`` of an annotation is written; XYWH_ABS, as in COCO's files, if not told.

    Raises:
        DataError: its ``bbox_mode`` is none, or that of a rotated box.
    """
    given = annotation.get("bbox_mode", BoxMode.XYWH_ABS)
    if type(given) is BoxMode and given is not BoxMode.XYWHA_ABS:
        return given  # for every object of every sample: an enumeration is slow to look up
    try:
        mode = BoxMode(int(given))
    except (TypeError, ValueError):
        mode = None
    if mode is None or mode == BoxMode.XYWHA_ABS:
        what = "no BoxMode" if mode is None else "XYWHA_ABS: there are no rotated boxes here"
        known = ", ".join(f"{m.name} ({m})" for m in BoxMode if m != BoxMode.XYWHA_ABS)
        raise DataError(f"bbox_mode {given!r} is {what}; expected {known}, or none for XYWH_ABS")
    return mode


def corner_boxes(
    annotations: Sequence[Mapping[str, Any]],
    size: tuple[int, int],
    dtype: npt.DTypeLike = np.float64,
) -> np.ndarray:
    """(N, 4) x1, y1, x2, y2 in pixels.

    Args:
        annotations: of a record, each with a ``bbox`` and perhaps a ``bbox_mode``.
        size: (height, width) of the image.
        dtype: of the result, and of the arithmetic.

    Raises:
        DataError: see `box_mode`.
    """
    modes = []
    for number, annotation in enumerate(annotations):
        try:
            modes.append(box_mode(annotation))
        except DataError as e:
            raise DataError(f"{annotation_name(annotation, number)}: {e}") from None
    boxes = np.array([a["bbox"] for a in annotations], dtype=dtype).reshape(-1, 4)
    if all(mode is BoxMode.XYWH_ABS for mode in modes):  # as nearly all are
        boxes[:, 2:] += boxes[:, :2]
        return boxes
    for mode in set(modes):
        rows = [row for row, of_row in enumerate(modes) if of_row == mode]
        boxes[rows] = BoxMode.convert(boxes[rows], mode, BoxMode.XYXY_ABS, size)
    return boxes


def as_coco_box(annotation: Mapping[str, Any], size: tuple[int, int]) -> list[float]:
    """The box of an annotation as COCO's files have it: [x, y, width, height] in pixels.

    Args:
        size: (height, width) of the image.

    Raises:
        DataError: it is not four numbers; see also `box_mode`.
    """
    mode = box_mode(annotation)
    bbox: Any = annotation.get("bbox")
    try:
        numbers = [float(value) for value in bbox]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise DataError(f"bbox is {bbox!r}; expected four numbers, {mode.name}")
    return BoxMode.convert(numbers, mode, BoxMode.XYWH_ABS, size)


def with_box_masks(
    annotations: Sequence[Mapping[str, Any]], size: tuple[int, int]
) -> list[dict[str, Any]]:
    """Annotations of which those without a mask have their box, filled, as a polygon.

    Args:
        size: (height, width) of the image.

    Raises:
        DataError: see `box_mode`.
    """
    completed = [dict(annotation) for annotation in annotations]
    lacking = [a for a in completed if not has_mask(a)]
    for annotation, (x0, y0, x1, y1) in zip(lacking, corner_boxes(lacking, size), strict=True):
        annotation["segmentation"] = [np.array([x0, y0, x1, y0, x1, y1, x0, y1])]
    return completed


def has_mask(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation has a ``segmentation`` that is not null or empty."""
    segmentation = annotation.get("segmentation")
    return segmentation is not None and len(segmentation) > 0


def record_size(record: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width) of the image of a record: as it says itself, else as the file does.

    Raises:
        MissingFileError, FileAccessError, DataError: see `read_image_size`.
    """
    if "height" in record and "width" in record:
        return record["height"], record["width"]
    return read_image_size(record["file_name"])
