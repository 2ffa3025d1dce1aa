"""The examination of annotations in COCO's format."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segsuite.structures import to_rle

from ..datasets.coco_annotations import clean_annotation
from ..datasets.coco_faults import Fault
from ..datasets.coco_reading import check_box_modes, read_json
from ..folders import IMAGE_SUFFIXES, list_files
from .images import ImageFacts
from .report import Report
from .semantic import class_counts, report_classes

# How far, in pixels, a box or a polygon may reach beyond the image, and a box differ from its mask:
# real annotations are rounded in many ways.
_BEYOND = 1.5
_BOX_SLACK = 4.0
# The share of boxes that look like corners with which all of them are.
_MANY_CORNERS = 0.3


class CocoFaults:
    """Takes what `clean_annotation` finds, as kinds of this package.

    Attributes:
        found: (kind, detail) for the present annotation.
    """

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def add(self, fault: Fault, annotation_id: Any, detail: str = "") -> None:
        self.found.append((fault.kind, detail or fault.text))


@dataclass
class CocoFile:
    """A JSON file in COCO's format; nothing but its lists is checked.

    Attributes:
        content: what the file holds.
        images, categories: its entries by id; of equal ids the first one counts.

    Raises:
        MissingFileError, DataError: no such file, or not in this format.
    """

    json_file: str
    image_root: str
    content: dict[str, list] = field(init=False)
    images: dict[Any, dict] = field(init=False)
    categories: dict[Any, dict] = field(init=False)

    def __post_init__(self) -> None:
        self.content = read_json(self.json_file, ("images", "annotations", "categories"))
        check_box_modes(self.content["annotations"], self.json_file)
        self.images, self.categories = {}, {}
        for entries, key in ((self.images, "images"), (self.categories, "categories")):
            for entry in self.content[key]:
                entries.setdefault(entry.get("id"), entry)

    def image_file(self, image: Mapping[str, Any]) -> str:
        """The path of an image."""
        return os.path.join(self.image_root, str(image.get("file_name", "")))


def report_coco(
    name: str,
    coco: CocoFile,
    images: Mapping[str, ImageFacts],
    report: Report,
    *,
    with_classes: bool = True,
) -> None:
    """Add what is found in the entries of a file and between them and the images.

    Args:
        images: what is known of each image file.
        with_classes: add how common the categories are.
    """
    _report_lists(name, coco, report)
    for image in coco.content["images"]:
        stated = (image.get("height"), image.get("width"))
        report_size(name, images[coco.image_file(image)], stated, "the JSON", report)
    of_image = _report_annotations(name, coco, report)
    _report_images(name, coco, of_image, report)
    if not with_classes:
        return
    categories = sorted(coco.categories)
    index = {category: i for i, category in enumerate(categories)}
    counts = [Counter(index[a["category_id"]] for a in found) for found in of_image.values()]
    names = [str(coco.categories[c].get("name", c)) for c in categories]
    report_classes(
        name, names, *class_counts(counts, len(names)), len(coco.content["images"]), report
    )


def _report_annotations(name: str, coco: CocoFile, report: Report) -> dict[Any, list[dict]]:
    """Examine the annotations, and return those that have an image and a category, by image id."""
    of_image: dict[Any, list[dict]] = defaultdict(list)
    corners = []
    for annotation in coco.content["annotations"]:
        where = f"annotation {annotation.get('id')}"
        image = coco.images.get(annotation.get("image_id"))
        if image is None:
            report.add(name, "unknown-image", where, f"image_id {annotation.get('image_id')}")
            continue
        if annotation.get("category_id") not in coco.categories:
            detail = f"category_id {annotation.get('category_id')}"
            report.add(name, "unknown-category", where, detail)
            continue
        of_image[image["id"]].append(annotation)
        if "height" not in image or "width" not in image:
            continue
        size = image["height"], image["width"]
        where += f" of {coco.image_file(image)}"
        for kind, detail in annotation_faults(annotation, *size):
            report.add(name, kind, where, detail)
        corners.append(like_corners(annotation.get("bbox"), *size))
    report_corners(name, coco.json_file, corners, report)
    return of_image


def report_size(
    name: str, facts: ImageFacts, stated: tuple[Any, Any], source: str, report: Report
) -> None:
    """Add an image whose file has another size than `source` says.

    Args:
        stated: height and width.
    """
    if not facts.size or stated == facts.size:
        return
    detail = (
        f"the file has {facts.size[0]} x {facts.size[1]} pixels, {source} says "
        f"{stated[0]} x {stated[1]} (height x width)"
    )
    if stated == facts.size[::-1]:
        detail += "; turned by a quarter, as EXIF orientation does it"
    report.add(name, "size-mismatch", facts.file_name, detail)


def report_corners(name: str, where: str, corners: Sequence[bool], report: Report) -> None:
    """Add boxes that are corners, if many of a data set look it; see `like_corners`."""
    share = np.mean(corners) if corners else 0.0
    if share > _MANY_CORNERS:
        report.add(name, "bbox-corners", where, f"{100 * share:.0f} % of the boxes")


def _report_lists(name: str, coco: CocoFile, report: Report) -> None:
    """Ids, names and gaps."""
    for key in ("images", "annotations", "categories"):
        for id, count in Counter(entry.get("id") for entry in coco.content[key]).items():
            if count > 1:
                report.add(name, "duplicate-id", f"id {id} of {key}", f"{count} times")
    files = Counter(image.get("file_name") for image in coco.content["images"])
    for file_name, count in files.items():
        if count > 1:
            report.add(name, "duplicate-file-name", file_name, f"{count} times")
    names = Counter(str(c.get("name")) for c in coco.categories.values())
    for category, count in names.items():
        if count > 1:
            report.add(name, "duplicate-category", category, f"{count} times")
    ids = sorted(id for id in coco.categories if isinstance(id, int))
    if ids and ids[-1] - ids[0] >= len(ids):
        gaps = sorted(set(range(ids[0], ids[-1])).difference(ids))
        detail = f"{len(ids)} ids from {ids[0]} to {ids[-1]}, without {', '.join(map(str, gaps))}"
        report.add(name, "category-gaps", coco.json_file, detail)


def _report_images(
    name: str, coco: CocoFile, of_image: Mapping[Any, Sequence[dict]], report: Report
) -> None:
    for id, image in coco.images.items():
        if id not in of_image:
            report.add(name, "images-empty", coco.image_file(image))
        seen: dict[str, Any] = {}
        for annotation in of_image.get(id, ()):
            keys = ("category_id", "bbox", "segmentation", "iscrowd")
            content = json.dumps([annotation.get(key) for key in keys])
            if content in seen:
                where = f"annotation {annotation.get('id')} of {coco.image_file(image)}"
                report.add(name, "duplicate-annotation", where, f"the same as {seen[content]}")
            seen.setdefault(content, annotation.get("id"))
    listed = {os.path.normpath(coco.image_file(image)) for image in coco.images.values()}
    for path in list_files(coco.image_root, IMAGE_SUFFIXES):
        if os.path.normpath(path) not in listed:
            report.add(name, "file-unlisted", path)


def annotation_faults(annotation: dict, height: int, width: int) -> list[tuple[str, str]]:
    """What is wrong with one annotation, as (kind, detail)."""
    faults = CocoFaults()
    cleaned = clean_annotation({"id": None, **annotation}, height, width, faults)
    if cleaned is None:
        return faults.found
    found = faults.found
    x, y, w, h = cleaned["bbox"]
    if min(x, y) < -_BEYOND or x + w > width + _BEYOND or y + h > height + _BEYOND:
        image = f"{height} x {width} pixels (height x width)"
        found.append(("bbox-beyond", f"{cleaned['bbox']} in {image}"))
    segmentation = cleaned.get("segmentation")
    if segmentation is None:
        return found
    if isinstance(segmentation, list):
        points = np.concatenate([polygon.reshape(-1, 2) for polygon in segmentation])
        low, high = points.min(0), points.max(0)
        if low.min() < -_BEYOND or (high > (width + _BEYOND, height + _BEYOND)).any():
            found.append(("polygon-beyond", f"from {low.tolist()} to {high.tolist()}"))
    rle = to_rle(segmentation, height, width)
    area = float(coco_mask.area(rle))
    if area == 0:
        found.append(("mask-empty", ""))
        return found
    of_mask = coco_mask.toBbox(rle)
    corners = np.array([x, y, x + w, y + h])
    mask_corners = np.array([*of_mask[:2], *(of_mask[:2] + of_mask[2:])])
    slack = max(_BOX_SLACK, 0.1 * max(w, h))
    if np.abs(corners.clip(0, [width, height] * 2) - mask_corners).max() > slack:
        found.append(("bbox-mask", f"bbox {[x, y, w, h]}, that of the mask {of_mask.tolist()}"))
    stated = annotation.get("area")
    if stated is not None and abs(stated - area) > max(20.0, 0.25 * area):
        found.append(("area-wrong", f"{stated}, the mask has {area:.0f} pixels"))
    return found


def like_corners(bbox: Any, height: int, width: int) -> bool:
    """Whether a box makes sense as [x1, y1, x2, y2] alone, in an image of a height and width."""
    if not isinstance(bbox, list) or len(bbox) != 4:
        return False
    x, y, right, bottom = bbox
    as_corners = x < right <= width + _BEYOND and y < bottom <= height + _BEYOND
    return as_corners and (x + right > width + _BEYOND or y + bottom > height + _BEYOND)
