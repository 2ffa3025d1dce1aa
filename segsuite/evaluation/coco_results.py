"""Detections as COCO's results files have them, of this or another tool, as columns.

The format is described at https://cocodataset.org/#format-results.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from operator import eq, itemgetter, methodcaller
from typing import Any

import numpy as np

from segsuite.data.datasets.coco_faults import warn_once
from segsuite.data.datasets.coco_values import Ids, are_huge, as_integer, as_number
from segsuite.errors import DataError, MissingFileError
from segsuite.structures.run_lengths import find_count_faults
from segsuite.utils.json_list import read_json_list

from .coco_arrays import COCODetections, concatenate
from .coco_files import COCOIndex

_TASK_OF = {"bbox": "bbox", "segmentation": "segm"}
_NUMBERS = (int, float, np.integer, np.floating)
_LISTS = (list, tuple, np.ndarray)
_NO_BOX = (math.nan,) * 4
# What is raised by a detection that is not as the format has it, before anything is checked.
_ODD = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)


def read_coco_results(
    path: str | os.PathLike[str], index: COCOIndex
) -> tuple[COCODetections, list[str]]:
    """Read and check a results file: a list of detections.

    Args:
        index: of the ground truth.

    Returns:
        The detections in the order of the file, and what they can be evaluated for: "bbox", "segm"
        or both.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is another kind of file, or does not belong to this ground truth; the
            message names the first such detection. Or some detections have a box or a mask and
            others do not.
    """
    if not any(map(are_huge, (index.image_ids, index.category_ids))):
        try:
            return _read(path, index, exact=False)
        except DataError:
            pass  # whose message may have numbers that have lost digits
    return _read(path, index, exact=True)


def _read(
    path: str | os.PathLike[str], index: COCOIndex, exact: bool
) -> tuple[COCODetections, list[str]]:
    """
    Args:
        exact: False: see `read_json_list`; and of several faults any one is told.
    """
    parts = [detection_columns([], index)]
    first = 0
    for detections in _read_list(path, exact):
        parts.append(detection_columns(detections, index, first, f"{path}, ", check_masks=exact))
        first += len(detections)
    columns = concatenate(parts)
    if not exact:
        _check_masks(columns, index, 0, f"{path}, ")
    with_boxes = int((~np.isnan(columns.boxes[:, 0])).sum())
    with_masks = len(columns) - columns.masks.count(None)
    return columns, tasks_of_counts(len(columns), with_boxes, with_masks, path)


def tasks_of_counts(
    total: int, with_boxes: int, with_masks: int, name: str | os.PathLike[str]
) -> list[str]:
    """What detections can be evaluated for: "bbox", "segm" or both.

    Args:
        total: how many detections there are.
        with_boxes, with_masks: how many have a box, and how many a mask.
        name: of their file or data set, for messages.

    Raises:
        DataError: some detections have a box or a mask and others do not.
    """
    having = {"bbox": with_boxes, "segmentation": with_masks}
    for key, count in having.items():
        if 0 < count < total:
            raise DataError(
                f"{name}: {count} of {total} detections have a '{key}'; expected all or none"
            )
    return [task for key, task in _TASK_OF.items() if having[key] or not total]


def _read_list(path: str | os.PathLike[str], exact: bool) -> Iterator[list[Any]]:
    try:
        yield from read_json_list(path, exact=exact)
    except FileNotFoundError:
        raise MissingFileError(f"there is no file {path}") from None
    except TypeError as e:
        raise DataError(f"{path} is not a COCO results file: {e} (of detections)") from None
    except ValueError as e:
        raise DataError(f"{path} is not a JSON file: {e}") from None


def detection_columns(
    detections: Sequence[Any],
    index: COCOIndex,
    first: int = 0,
    where: str = "",
    *,
    check_masks: bool = True,
) -> COCODetections:
    """Entries of a results file as columns.

    Args:
        index: of the ground truth.
        first: the number of the first of them in the file, for messages.
        where: what messages begin with.
        check_masks: False where the run lengths of masks are known to be right.

    Raises:
        DataError: a detection does not belong to the ground truth, lacks something, or has values
            that can't be; the message has its number.
    """
    try:
        columns = _columns(detections, index)
    except _ODD:
        columns = None
    if columns is None:
        columns = _odd_columns(detections, index, first, where)
    if check_masks:
        _check_masks(columns, index, first, where)
    return columns


def _check_masks(columns: COCODetections, index: COCOIndex, first: int, where: str) -> None:
    """Refuse run lengths that are not those of a mask of their image."""
    rows = [row for row, mask in enumerate(columns.masks) if mask is not None]
    counts: list[Any] = [columns.masks[row] for row in rows]
    faults = find_count_faults(counts, index.sizes[columns.images[rows]].prod(axis=1))
    if faults:
        row = min(faults)
        raise DataError(f"{where}detection {first + rows[row]} (from 0): {faults[row]}")


def _columns(detections: Sequence[Any], index: COCOIndex) -> COCODetections | None:
    """None where something is not as most files have it: `_clean` looks at that."""

    def column(key: str, of: Sequence[Any] = detections) -> list[Any]:
        return list(map(itemgetter(key), of))

    number = len(detections)
    images = _numbers(column("image_id"), index.image_numbers)
    categories = _numbers(column("category_id"), index.category_numbers)
    columns = COCODetections(
        np.array(images, dtype=np.int64),
        np.array(categories, dtype=np.int64),
        np.full((number, 4), math.nan),
        [None] * number,
        _finite_numbers(column("score")),
    )
    if not number:
        return columns
    given = [key for key in _TASK_OF if any(map(methodcaller("__contains__", key), detections))]
    if not given:
        return None
    if "bbox" in given:
        rows = column("bbox")
        if set(map(len, rows)) != {4}:
            return None
        boxes = _finite_numbers(list(chain.from_iterable(rows))).reshape(-1, 4)
        if (boxes[:, 2:] < 0).any():
            return None
        columns.boxes[:] = boxes
    if "segmentation" in given:
        rles = column("segmentation")
        masks = column("counts", rles)
        if not set(map(type, masks)) <= {str, bytes}:
            return None
        sizes = map(index.size_lists.__getitem__, images)
        if not all(map(eq, column("size", rles), sizes)):
            return None
        columns = replace(columns, masks=masks)
    return columns


def _numbers(ids: list[Any], known: Ids) -> list[int]:
    """Through a dict: no array holds ids of all kinds without changing some.

    Raises:
        KeyError, TypeError: one is not known as it stands, or is a flag, which a dict takes for 1.
    """
    if bool in set(map(type, ids)):
        raise TypeError
    return list(map(known.exact.__getitem__, ids))


def _finite_numbers(values: list[Any]) -> np.ndarray:
    """As float64.

    Raises:
        TypeError, OverflowError, ValueError: something is no finite number.
    """
    if not all(issubclass(t, _NUMBERS) and t is not bool for t in set(map(type, values))):
        raise TypeError
    numbers = np.array(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError
    return numbers


def _odd_columns(
    detections: Sequence[Any], index: COCOIndex, first: int, where: str
) -> COCODetections:
    cleaned = []
    for number, detection in enumerate(detections, first):
        name = f"{where}detection {number} (from 0)"
        try:
            cleaned.append(_clean(detection, index, where))
        except DataError as e:
            raise DataError(f"{name}: {e}") from None
    return concatenate(cleaned)


def _clean(detection: Any, index: COCOIndex, where: str) -> COCODetections:
    """One detection, whatever its values are like.

    Args:
        where: what warnings begin with.
    """
    if not isinstance(detection, Mapping):
        raise DataError(f"expected an object, got {type(detection).__name__}")
    for key in ("image_id", "category_id", "score"):
        if key not in detection:
            raise DataError(f"'{key}' is missing; it has {', '.join(sorted(detection))}")
    image = _find("image_id", detection, index.image_numbers, where)
    if image is None:
        raise DataError(f"image_id {detection['image_id']!r} is not in {index.source}")
    category = _find("category_id", detection, index.category_numbers, where)
    if category is None:
        known = index.category_ids
        span = f"go from {known[0]!r} to {known[-1]!r}" if known else "are none"
        raise DataError(
            f"category_id {detection['category_id']!r} is not in {index.source}, whose "
            f"{len(known)} categories {span}"
        )
    score = as_number(detection["score"])
    if score is None:
        raise DataError(f"score {detection['score']!r} is not a finite number")
    box, rle = detection.get("bbox"), detection.get("segmentation")
    if box is None and rle is None:
        raise DataError("it has neither 'bbox' nor 'segmentation'")
    return COCODetections(
        np.array([image]),
        np.array([category]),
        np.array([_NO_BOX if box is None else _clean_box(box)], dtype=np.float64),
        [None if rle is None else _clean_mask(rle, index.sizes[image].tolist())],
        np.array([score]),
    )


def _find(key: str, detection: Mapping[str, Any], ids: Ids, where: str) -> int | None:
    given = detection[key]
    number, is_exact = ids.find(given)
    if number is not None and not is_exact:  # said once a file, not for each detection
        kinds = ("text", "a number") if isinstance(given, str) else ("a number", "text")
        warn_once(
            f"{where}{key} of detections is {kinds[0]} where the ground truth has {kinds[1]}; it "
            "is read as the id that it must mean"
        )
    return number


def _clean_box(box: Any) -> list[float]:
    numbers = [as_number(value) for value in box] if isinstance(box, _LISTS) else []
    if len(numbers) != 4 or None in numbers:
        raise DataError(f"bbox {str(box)[:100]} is not [x, y, width, height]")
    values = [float(number) for number in numbers if number is not None]
    if min(values[2:]) < 0:
        raise DataError(
            f"bbox {values} has a negative width or height; expected x, y, width, height"
        )
    return values


def _clean_mask(rle: Any, size: Sequence[int]) -> str | bytes:
    given, counts = (rle.get("size"), rle.get("counts")) if isinstance(rle, Mapping) else (0, 0)
    numbers = [as_integer(v) for v in given] if isinstance(given, _LISTS) else []
    if len(numbers) != 2 or not isinstance(counts, (str, bytes)):
        raise DataError("segmentation is not a compressed RLE, {'size': ..., 'counts': text}")
    if numbers != list(size):
        raise DataError(
            f"its mask is {numbers[0]} x {numbers[1]} (height x width), "
            f"but the image is {size[0]} x {size[1]}"
        )
    return counts
