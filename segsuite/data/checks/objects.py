"""The examination of the objects of a data set: each annotation by itself, and all together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segsuite.structures import to_rle

from ..datasets.coco_annotations import clean_annotation
from ..datasets.coco_faults import Fault
from .instances import MAX_DETECTIONS, FoundFaults, ObjectFacts, many_objects
from .report import Report

# How far, in pixels, a box or a polygon may reach beyond the image, and a box differ from its mask:
# real annotations are rounded in many ways.
_BEYOND = 1.5
_BOX_SLACK = 4.0
# The share of boxes that look like corners with which all of them are.
_MANY_CORNERS = 0.3
# The share of crowds among objects above which they are worth a warning; COCO has 0.012.
_MANY_CROWDS = 0.1


@dataclass(frozen=True)
class Examined:
    """What is found in one annotation.

    Attributes:
        cleaned: what training takes of it, see `clean_annotation`; None: nothing.
        faults: what the reading of it tells, with details.
        others: what else there is, as (kind, detail).
    """

    cleaned: dict[str, Any] | None
    faults: list[tuple[Fault, str]]
    others: list[tuple[str, str]]

    def findings(self) -> list[tuple[str, str]]:
        """All of it, as (kind, detail)."""
        return [
            *((fault.kind, detail or fault.text) for fault, detail in self.faults),
            *self.others,
        ]


def examine_annotation(annotation: Mapping[str, Any], height: int, width: int) -> Examined:
    """Find what is wrong with one annotation of an image of a height and width."""
    faults = FoundFaults()
    cleaned = clean_annotation(annotation, height, width, faults)
    others: list[tuple[str, str]] = []
    if cleaned is None:
        return Examined(None, faults.found, others)
    x, y, w, h = cleaned["bbox"]
    if min(x, y) < -_BEYOND or x + w > width + _BEYOND or y + h > height + _BEYOND:
        image = f"{height} x {width} pixels (height x width)"
        others.append(("bbox-beyond", f"{cleaned['bbox']} in {image}"))
    if "segmentation" in cleaned:
        others += _mask_faults(cleaned, height, width)
    return Examined(cleaned, faults.found, others)


def _mask_faults(cleaned: Mapping[str, Any], height: int, width: int) -> list[tuple[str, str]]:
    found = []
    segmentation = cleaned["segmentation"]
    if isinstance(segmentation, list):
        points = np.concatenate([polygon.reshape(-1, 2) for polygon in segmentation])
        low, high = points.min(0), points.max(0)
        if low.min() < -_BEYOND or (high > (width + _BEYOND, height + _BEYOND)).any():
            found.append(("polygon-beyond", f"from {low.tolist()} to {high.tolist()}"))
    rle = to_rle(segmentation, height, width)
    area = float(coco_mask.area(rle))
    if area == 0:
        return [*found, ("mask-empty", "")]
    of_mask = coco_mask.toBbox(rle)
    x, y, w, h = cleaned["bbox"]
    corners = np.array([x, y, x + w, y + h]).clip(0, [width, height] * 2)
    mask_corners = np.array([*of_mask[:2], *(of_mask[:2] + of_mask[2:])])
    if np.abs(corners - mask_corners).max() > max(_BOX_SLACK, 0.1 * max(w, h)):
        found.append(("bbox-mask", f"bbox {[x, y, w, h]}, that of the mask {of_mask.tolist()}"))
    stated = cleaned.get("area")
    # Nothing depends on the area of a crowd, and many programs write that of its box.
    is_far = stated is not None and abs(stated - area) > max(20.0, 0.25 * area)
    if is_far and not cleaned["iscrowd"]:
        found.append(("area-wrong", f"{stated}, the mask has {area:.0f} pixels"))
    return found


def like_corners(bbox: Any, height: int, width: int) -> bool:
    """Whether a box makes sense as [x1, y1, x2, y2] alone, in an image of a height and width."""
    if not isinstance(bbox, (list, tuple)) or len(bbox) != 4:
        return False
    if not all(isinstance(value, (int, float)) for value in bbox):
        return False
    x, y, right, bottom = bbox
    as_corners = x < right <= width + _BEYOND and y < bottom <= height + _BEYOND
    return as_corners and (x + right > width + _BEYOND or y + bottom > height + _BEYOND)


def report_corners(name: str, where: str, corners: Sequence[bool], report: Report) -> None:
    """Add boxes that are corners, if many of a data set look it; see `like_corners`."""
    share = np.mean(corners) if corners else 0.0
    if share > _MANY_CORNERS:
        report.add(name, "bbox-corners", where, f"{100 * share:.0f} % of the boxes")


def report_objects(
    name: str,
    classes: Sequence[str] | None,
    objects: ObjectFacts,
    files: Sequence[str],
    report: Report,
) -> None:
    """Add what is found of all objects together: crowds, objects without masks, and more objects of
    an image than COCO's figures count.

    Args:
        classes: their names; None: not known.
        objects: their ids say where they are.
        files: of the images, by number.
    """

    def class_name(k: int) -> str:
        return classes[k] if classes is not None and 0 <= k < len(classes) else f"class {k}"

    _report_crowds(name, class_name, objects, report)
    lacking = (~objects.masked & ~objects.crowds).nonzero()[0].tolist()
    if len(objects) and not objects.masked.any():
        report.add(name, "mask-missing", f"all {len(objects)} objects", severity="note")
    else:
        for i in lacking:
            report.add(name, "mask-missing", objects.ids[i])
    for count, image, category in many_objects(objects):
        where = f"{class_name(category)} in {files[image]}"
        report.add(name, "many-objects", where, f"{count} objects, {MAX_DETECTIONS} count")


def _report_crowds(
    name: str, class_name: Callable[[int], str], objects: ObjectFacts, report: Report
) -> None:
    number = int(objects.crowds.sum())
    if not number:
        return
    severity = "warning" if number > _MANY_CROWDS * len(objects) else "note"
    share = f"{number} of {len(objects)} objects ({100 * number / len(objects):.1f} %)"
    report.add(name, "crowds", share, "never trained on", severity=severity)
    for k in np.unique(objects.categories[objects.crowds]).tolist():
        of_class = objects.crowds[objects.categories == k]
        where = f"{int(of_class.sum())} of {len(of_class)} objects of {class_name(k)}"
        if of_class.all():
            report.add(name, "crowds", where, "the class is never trained on", severity="warning")
        else:
            report.add(name, "crowds", where, severity=severity)
