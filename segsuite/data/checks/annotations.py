"""The examination of the annotations of records, where no JSON file is known to hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from segsuite.errors import DataError

from ..boxes import annotation_name, as_coco_box
from ..catalog import Metadata
from .coco import annotation_faults, like_corners, report_corners, report_size
from .images import ImageFacts
from .report import Report
from .semantic import class_counts, report_classes


def report_annotations(
    name: str,
    metadata: Metadata,
    records: Sequence[Mapping[str, Any]],
    images: Mapping[str, ImageFacts],
    report: Report,
) -> None:
    """Add what is found in annotations and between them and the images.

    Args:
        records: those with ``annotations``.
        images: what is known of each image file.
    """
    classes = metadata.get("thing_classes")
    counts: list[Counter] = []
    corners: list[bool] = []
    for record in records:
        annotations = record["annotations"]
        counts.append(Counter(a.get("category_id") for a in annotations))
        if not annotations:
            report.add(name, "images-empty", record["file_name"])
        size = _size(name, record, images[record["file_name"]], report)
        if size is not None:
            corners += _report_record(name, classes, record, size, report)
    report_corners(name, name, corners, report)
    if classes is not None:
        report_classes(name, classes, *class_counts(counts, len(classes)), len(records), report)


def _report_record(
    name: str,
    classes: Sequence[str] | None,
    record: Mapping[str, Any],
    size: tuple[int, int],
    report: Report,
) -> list[bool]:
    """Examine the annotations of an image, and return which of its boxes look like corners."""
    corners = []
    for number, annotation in enumerate(record["annotations"]):
        where = f"{annotation_name(annotation, number)} of {record['file_name']}"
        category = annotation.get("category_id")
        if classes is not None and category not in range(len(classes)):
            report.add(name, "unknown-category", where, f"category_id {category!r}")
        try:
            bbox = as_coco_box(annotation, size)
        except DataError as e:
            report.add(name, "bbox-invalid", where, str(e))
            continue
        for kind, detail in annotation_faults({**annotation, "bbox": bbox}, *size):
            report.add(name, kind, where, detail)
        if "bbox_mode" not in annotation:
            corners.append(like_corners(bbox, *size))
    return corners


def _size(
    name: str, record: Mapping[str, Any], facts: ImageFacts, report: Report
) -> tuple[int, int] | None:
    """(height, width) that the annotations of a record are for, None where nothing tells it."""
    height, width = record.get("height"), record.get("width")
    if height is None or width is None:
        return facts.size
    report_size(name, facts, (height, width), "the record", report)
    return height, width
