"""What an annotation of a COCO file must be like, and the report about those that are not."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from segsuite.structures import to_rle

logger = logging.getLogger(__name__)

_SHOWN = 5


class TakesFaults(Protocol):
    """What `clean_annotation` tells what it leaves out."""

    def add(self, kind: str, annotation_id: Any, /) -> None: ...


class Faults:
    """Counts what is left out of a file, by kind, and remembers the first annotations of each."""

    def __init__(self) -> None:
        self._ids: dict[str, list[Any]] = {}

    def add(self, kind: str, annotation_id: Any) -> None:
        self._ids.setdefault(kind, []).append(annotation_id)

    def report(self, json_file: str, num_annotations: int) -> None:
        """Write one warning about the file, once in this process, if there is anything to say."""
        if not self._ids:
            return
        lines = [f"{len(ids)} {kind} (annotation {some(ids)})" for kind, ids in self._ids.items()]
        _warn_once(
            f"{json_file}: left out of its {num_annotations} annotations:\n  " + "\n  ".join(lines)
        )


def some(ids: list[Any]) -> str:
    """The first few of a list."""
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(map(str, ids[:_SHOWN])) + more


@functools.cache
def _warn_once(text: str) -> None:
    logger.warning(text)


def clean_annotation(
    annotation: Mapping[str, Any], height: int, width: int, faults: TakesFaults
) -> dict[str, Any] | None:
    """Take from an annotation what training needs.

    Args:
        annotation: of a COCO file.
        height, width: of its image, in pixels.
        faults: told about what can't be used.

    Returns:
        ``id``, ``iscrowd`` 0 or 1, ``bbox`` [x, y, width, height] and, unless there is none,
        ``segmentation``: a list of flat float64 arrays or a compressed RLE. None where nothing
        can be used.
    """
    id_ = annotation["id"]
    bbox = annotation.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_finite, bbox)):
        faults.add("without a bbox of four numbers", id_)
        return None
    x, y, w, h = bbox
    if w <= 0 or h <= 0:
        faults.add("with a bbox of no or negative size", id_)
        return None
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        faults.add("with a bbox outside of the image", id_)
        return None
    # "ignore" is that of older files; both mean: neither learn it nor count it as wrong.
    crowd = int(bool(annotation.get("iscrowd", 0) or annotation.get("ignore", 0)))
    cleaned = {"id": id_, "iscrowd": crowd, "bbox": bbox}
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list) and segmentation:
        polygons = _clean_polygons(segmentation, height, width, id_, faults)
        if not polygons:
            return None
        cleaned["segmentation"] = polygons
    elif isinstance(segmentation, dict):
        try:
            cleaned["segmentation"] = to_rle(segmentation, height, width)
        except (KeyError, TypeError, ValueError) as e:
            faults.add(f"with an RLE that is not one of this image: {e!s}", id_)
            return None
    return cleaned


def _clean_polygons(
    polygons: list, height: int, width: int, annotation_id: Any, faults: TakesFaults
) -> list[np.ndarray]:
    kept = []
    for polygon in polygons:
        try:
            points = np.array(polygon, dtype=np.float64)
        except (TypeError, ValueError):
            points = np.empty(0)
        if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not _is_finite(points.sum()):
            faults.add("polygons of fewer than 3 points, or not x, y, x, y, ...", annotation_id)
            continue
        x, y = points[0::2], points[1::2]
        if x.min() >= width or y.min() >= height or x.max() <= 0 or y.max() <= 0:
            faults.add("polygons outside of the image", annotation_id)
            continue
        kept.append(points)
    return kept


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
