"""The examination of panoptic segmentations: PNG files of segment ids, and the list of segments."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segsuite.errors import DataError

from ..datasets.coco_faults import some
from ..datasets.coco_values import Ids, id_order
from ..datasets.image_paths import existing_path
from ..datasets.panoptic_json import (
    normalized_category,
    parse_annotation,
    read_panoptic_json,
    refuse_instances,
)
from ..image_files import decode, open_image
from ..mapper import size_mismatch
from ..panoptic import format_fault, read_panoptic, to_segment_ids
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
        refuse_instances(self.content["annotations"], self.json_file)
        for category in self.content["categories"]:
            normalized_category(category, self.json_file)
        ids = Ids(self.categories), Ids(self.images)
        self.content["annotations"] = [
            parse_annotation(annotation, *ids, self.json_file)
            for annotation in self.content["annotations"]
        ]

    def segments_file(self, annotation: Mapping[str, Any]) -> str:
        """The path of the PNG of an image."""
        return existing_path(self.panoptic_root, annotation["file_name"])


def examine_segments(file_name: str) -> SegmentFacts:
    """Read a panoptic PNG and count the pixels of each segment."""
    facts = SegmentFacts(file_name)
    try:
        with open_image(file_name) as image:
            fault = format_fault(image)
            decode(image, file_name)
            if fault is not None:
                facts.faults.append(("panoptic-mode", f"it {fault}"))
                return facts
            ids = to_segment_ids(np.asarray(image))
    except (OSError, DataError) as e:
        facts.faults.append(("panoptic-unreadable", without_name(e, file_name)))
        return facts
    facts.size = ids.shape
    facts.areas = _areas(ids)
    return facts


def _areas(ids: np.ndarray) -> dict[int, int]:
    """The number of pixels of each segment, without those of none."""
    flat = ids.ravel()
    # Rows are made of a few runs each: far fewer than pixels are to be sorted.
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    values, index = np.unique(flat[starts], return_inverse=True)
    pixels = np.bincount(index, np.diff(starts, append=len(flat)))
    return {v: int(n) for v, n in zip(values.tolist(), pixels.tolist(), strict=True) if v}


def segments_fault(record: Mapping[str, Any], size: tuple[int, int]) -> str | None:
    """What keeps the panoptic PNG of a record from being learned, or None.

    Args:
        record: with ``file_name``, ``pan_seg_file_name`` and ``segments_info``.
        size: (height, width) of the image.

    Raises:
        MissingFileError, DataError: see `read_panoptic`.
    """
    png = record["pan_seg_file_name"]
    ids = read_panoptic(png)
    if ids.shape != size:
        return size_mismatch(record["file_name"], size, png, ids.shape)
    areas = _areas(ids)
    listed = {segment["id"] for segment in record["segments_info"]}
    if 0 in listed:
        return f"{png}: segment 0 is listed, but the id 0 says that a pixel has no segment"
    unlisted = areas.keys() - listed
    if unlisted:
        first = min(unlisted)
        more = f", nor {len(unlisted) - 1} others" if len(unlisted) > 1 else ""
        return (
            f"{png} has {areas[first]} pixels of segment {first}, which segments_info does not "
            f"list{more}; it lists {some(sorted(listed)) or 'none'}. Is it the PNG of this image?"
        )
    if listed and not areas:
        return (
            f"{png} has no pixel of any of its {len(listed)} segments, such as {min(listed)}: "
            "all of it is 0, no segment"
        )
    return None


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
    errors = report.count("error")
    annotated = Counter(a["image_id"] for a in panoptic.content["annotations"])
    for id, entry in panoptic.images.items():
        if id not in annotated:
            report.add(name, "image-without-labels", panoptic.image_file(entry))
    of_categories: list[dict[Any, int]] = []
    index = {id: i for i, id in enumerate(sorted(panoptic.categories, key=id_order))}
    for annotation, facts in zip(panoptic.content["annotations"], maps, strict=True):
        add = functools.partial(report.add, name)
        for kind, detail in facts.faults:
            add(kind, facts.file_name, detail)
        image = panoptic.images.get(annotation["image_id"])
        if image is None:
            add("labels-without-image", facts.file_name, f"image_id {annotation['image_id']}")
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
    if report.count("error") == errors:
        try:
            read_panoptic_json(panoptic.json_file)
        except DataError as e:  # what training refuses is an error here too
            report.add(name, "dataset-unreadable", panoptic.json_file, str(e))


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
    segments = annotation["segments_info"]
    ids = Counter(segment["id"] for segment in segments)
    known = []
    for segment in segments:
        where = f"segment {segment['id']} of {facts.file_name}"
        if ids[segment["id"]] > 1:
            add("duplicate-id", where, f"{ids[segment['id']]} segments have it")
        if segment["category_id"] in panoptic.categories:
            known.append(segment)
        else:
            add("unknown-category", where, f"category_id {segment['category_id']}")
        if segment["id"] == 0:
            add("segment-void", where)
            continue
        if facts.size is None:
            continue
        area, stated = facts.areas.get(segment["id"], 0), segment.get("area")
        if not area:
            add("segment-empty", where)
        elif isinstance(stated, (int, float)) and abs(stated - area) > _AREA_SLACK * area:
            add("segment-area", where, f"{stated}, the PNG has {area} pixels")
    for id, area in facts.areas.items():
        if id not in ids:
            add("segment-unlisted", f"segment {id} of {facts.file_name}", f"{area} pixels")
    return known
