"""The examination of the annotations of records, where no JSON file is known to hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from segsuite.errors import DataError

from ..boxes import annotation_name, as_coco_box
from ..catalog import Metadata
from .coco import report_size
from .images import ImageFacts
from .instances import ObjectFacts, stops_training
from .objects import Examined, examine_annotation, like_corners, report_corners, report_objects
from .report import Report
from .semantic import class_counts, report_classes

# Of an annotation what training does not look at, and so is not examined.
_OTHER_KEYS = ("keypoints", "densepose", "captions", "caption")


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
    examination = _Examination(name, classes, report)
    for number, record in enumerate(records):
        annotations = record["annotations"]
        if not annotations:
            report.add(name, "images-empty", record["file_name"])
        size = _size(name, record, images[record["file_name"]], report)
        if size is not None:
            examination.add(number, record, size)
    report_corners(name, name, examination.corners, report)
    objects = ObjectFacts.of_rows(examination.places, examination.rows)
    files = [record["file_name"] for record in records]
    report_objects(name, classes, objects, files, report)
    for key, count in examination.not_examined.items():
        report.add(name, "not-examined", f"'{key}' of {count} annotations")
    if classes is not None:
        counts = [
            Counter(a.get("category_id") for a in record["annotations"]) for record in records
        ]
        report_classes(name, classes, *class_counts(counts, len(classes)), len(records), report)


class _Examination:
    """Examines annotations one after another."""

    def __init__(self, name: str, classes: Sequence[str] | None, report: Report) -> None:
        self.name, self.classes, self.report = name, classes, report
        self.corners: list[bool] = []
        self.places: list[str] = []
        self.rows: list[tuple[int, int, bool, bool]] = []
        self.not_examined: Counter[str] = Counter()

    def add(self, image: int, record: Mapping[str, Any], size: tuple[int, int]) -> None:
        """Examine the annotations of the record of a number, whose image has a size."""
        for number, annotation in enumerate(record["annotations"]):
            where = f"{annotation_name(annotation, number)} of {record['file_name']}"
            self.not_examined.update(key for key in _OTHER_KEYS if annotation.get(key))
            category = annotation.get("category_id")
            is_known = self.classes is None or category in range(len(self.classes))
            if not is_known:
                self.report.add(self.name, "unknown-category", where, f"category_id {category!r}")
            try:
                bbox = as_coco_box(annotation, size)
            except DataError as e:
                self.report.add(self.name, "bbox-invalid", where, str(e))
                continue
            examined = examine_annotation({**annotation, "bbox": bbox}, *size)
            self._report(where, examined)
            if "bbox_mode" not in annotation:
                self.corners.append(like_corners(bbox, *size))
            cleaned = examined.cleaned
            if cleaned is not None and is_known and isinstance(category, int):
                self.places.append(where)
                self.rows.append(
                    (image, category, bool(cleaned["iscrowd"]), "segmentation" in cleaned)
                )

    def _report(self, where: str, examined: Examined) -> None:
        for fault, detail in examined.faults:
            # Records are trained on as they are: nothing is read as something else.
            severity = "error" if stops_training(fault) else ""
            self.report.add(self.name, fault.kind, where, detail or fault.text, severity)
        for kind, detail in examined.others:
            self.report.add(self.name, kind, where, detail)


def _size(
    name: str, record: Mapping[str, Any], facts: ImageFacts, report: Report
) -> tuple[int, int] | None:
    """(height, width) that the annotations of a record are for, None where nothing tells it."""
    height, width = record.get("height"), record.get("width")
    if height is None or width is None:
        return facts.size
    report_size(name, facts, (height, width), "the record", report)
    return height, width
