"""The examination of panoptic segmentations: PNG files of segment ids, and the list of segments."""

from __future__ import annotations

import functools
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segsuite.errors import DataError

from ..image import decode, open_image
from ..mapper import size_mismatch
from ..panoptic import to_segment_ids
from .coco import CocoFile
from .images import ImageFacts, without_name
from .report import Report
from .semantic import class_counts, report_classes

_AREA_SLACK = 0.01  # of the pixels of a segment


@dataclass
class SegmentFacts:
    """What is known of a panoptic PNG.

    Attributes:
        size: (height, width); None where it can't be read.
        areas: pixels by the id of the segment, without those of none.
        faults: (kind, detail) of each finding.
    """

    file_name: str
    size: tuple[int, int] | None = None
    areas: dict[int, int] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class PanopticFile(CocoFile):
    """The same of COCO's panoptic format, with the folder of the PNG files."""

    panoptic_root: str

    def __post_init__(self) -> None:
        super().__post_init__()
        kindless = [c.get("id") for c in self.content["categories"] if "isthing" not in c]
        if kindless:
            raise DataError(f"{self.json_file}: category {kindless[0]} has no 'isthing'")

    def segments_file(self, annotation: Mapping[str, Any]) -> str:
        """The path of the PNG of an image."""
        return os.path.join(self.panoptic_root, str(annotation.get("file_name", "")))


def examine_segments(file_name: str) -> SegmentFacts:
    """Read a panoptic PNG and count the pixels of each segment."""
    facts = SegmentFacts(file_name)
    try:
        with open_image(file_name) as image:
            decode(image, file_name)
            if image.mode != "RGB":
                facts.faults.append(("panoptic-mode", f"a {image.mode} image"))
                return facts
            ids = to_segment_ids(np.asarray(image))
    except (OSError, DataError) as e:
        facts.faults.append(("panoptic-unreadable", without_name(e, file_name)))
        return facts
    facts.size = ids.shape
    values, counts = np.unique(ids, return_counts=True)
    facts.areas = {v: n for v, n in zip(values.tolist(), counts.tolist(), strict=True) if v}
    return facts


def report_panoptic(
    name: str,
    panoptic: PanopticFile,
    images: Mapping[str, ImageFacts],
    maps: Sequence[SegmentFacts],
    report: Report,
) -> None:
    """Add what is found in the segments of a data set, one by one and as a whole.

    Args:
        images: what is known of each image file.
        maps: of the PNG of each annotation of the file, in its order.
    """
    annotated = Counter(a.get("image_id") for a in panoptic.content["annotations"])
    for id, entry in panoptic.images.items():
        if id not in annotated:
            report.add(name, "image-without-labels", panoptic.image_file(entry))
    of_categories: list[dict[Any, int]] = []
    index = {id: i for i, id in enumerate(sorted(panoptic.categories))}
    for annotation, facts in zip(panoptic.content["annotations"], maps, strict=True):
        add = functools.partial(report.add, name)
        for kind, detail in facts.faults:
            add(kind, facts.file_name, detail)
        image = panoptic.images.get(annotation.get("image_id"))
        if image is None:
            add("labels-without-image", facts.file_name, f"image_id {annotation.get('image_id')}")
            continue
        if annotated[annotation["image_id"]] > 1:
            where = f"image_id {annotation['image_id']} of annotations"
            add("duplicate-id", where, f"{annotated[annotation['image_id']]} times")
        _report_size(panoptic, image, facts, images, add)
        found: dict[Any, int] = defaultdict(int)
        for segment in _report_segments(annotation, panoptic, facts, add):
            found[index[segment["category_id"]]] += facts.areas.get(segment["id"], 0)
        of_categories.append(found)
    classes = [str(panoptic.categories[id].get("name", id)) for id in index]
    counts = class_counts(of_categories, len(classes))
    report_classes(name, classes, *counts, len(panoptic.content["images"]), report)


def _report_size(
    panoptic: PanopticFile,
    image: Mapping[str, Any],
    facts: SegmentFacts,
    images: Mapping[str, ImageFacts],
    add: Callable,
) -> None:
    image_file = panoptic.image_file(image)
    stated, size = (image.get("height"), image.get("width")), images[image_file].size
    if size and stated != size:
        detail = (
            f"the file has {size[0]} x {size[1]} pixels, the JSON says {stated[0]} x {stated[1]} "
            "(height x width)"
        )
        add("size-mismatch", image_file, detail)
    if size and facts.size and size != facts.size:
        detail = size_mismatch(image_file, size, facts.file_name, facts.size).partition(";")[0]
        add("size-mismatch", facts.file_name, detail)


def _report_segments(
    annotation: Mapping[str, Any], panoptic: PanopticFile, facts: SegmentFacts, add: Callable
) -> list[dict[str, Any]]:
    """Add the faults of the segments of an image; returns those whose category is known."""
    segments = annotation.get("segments_info", [])
    ids = Counter(segment.get("id") for segment in segments)
    known = []
    for segment in segments:
        where = f"segment {segment.get('id')} of {facts.file_name}"
        if ids[segment.get("id")] > 1:
            add("duplicate-id", where, f"{ids[segment.get('id')]} segments have it")
        if segment.get("category_id") in panoptic.categories:
            known.append(segment)
        else:
            add("unknown-category", where, f"category_id {segment.get('category_id')}")
        if facts.size is None:
            continue
        area, stated = facts.areas.get(segment.get("id"), 0), segment.get("area")
        if not area:
            add("segment-empty", where)
        elif stated is not None and abs(stated - area) > _AREA_SLACK * area:
            add("segment-area", where, f"{stated}, the PNG has {area} pixels")
    for id, area in facts.areas.items():
        if id not in ids:
            add("segment-unlisted", f"segment {id} of {facts.file_name}", f"{area} pixels")
    return known
