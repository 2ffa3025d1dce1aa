"""The examination of annotations in COCO's format."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from segsuite.structures.polygons import has_mask_size

from ..datasets.coco_images import image_name
from ..datasets.coco_reading import check_box_modes, read_json
from ..datasets.coco_values import Ids, as_id, as_integer, id_order
from ..datasets.image_paths import existing_path
from ..folders import IMAGE_SUFFIXES, list_files
from .images import ImageFacts
from .instances import ObjectFacts
from .objects import examine_annotation, like_corners, report_corners, report_objects
from .report import Report
from .semantic import class_counts, report_classes


@dataclass
class CocoFile:
    """A JSON file in COCO's format; nothing but its lists is checked.

    Attributes:
        content: what the file holds; ``annotations`` is empty where it has none.
        is_annotated: whether it has any.
        images, categories: its entries by id; of equal ids the first one counts.

    Raises:
        MissingFileError, DataError: no such file, or not in this format.
    """

    json_file: str
    image_root: str
    content: dict[str, Any] = field(init=False)
    is_annotated: bool = field(init=False)
    images: dict[Any, dict] = field(init=False)
    categories: dict[Any, dict] = field(init=False)

    def __post_init__(self) -> None:
        content = read_json(self.json_file, ("images", "categories"), ("annotations",))
        self.is_annotated = content.get("annotations") is not None
        self.content = {**content, "annotations": content.get("annotations") or []}
        check_box_modes(self.content["annotations"], self.json_file)
        self.images, self.categories = {}, {}
        for entries, key in ((self.images, "images"), (self.categories, "categories")):
            for entry in self.content[key]:
                id = as_id(entry.get("id"))
                if id is not None:
                    entries.setdefault(id, entry)

    def image_file(self, image: Mapping[str, Any]) -> str:
        """The path of an image."""
        return existing_path(self.image_root, str(image_name(image) or ""))


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
    sizes = {
        id: _examine_size(name, id, image, images[coco.image_file(image)], report)
        for id, image in coco.images.items()
    }
    if not coco.is_annotated:
        report.add(name, "annotations-missing", coco.json_file)
        return
    of_image, objects = _report_annotations(name, coco, sizes, report)
    _report_images(name, coco, of_image, report)
    categories = sorted(coco.categories, key=id_order)
    names = [str(coco.categories[c].get("name", c)) for c in categories]
    files = [coco.image_file(image) for image in coco.images.values()]
    report_objects(name, names, objects, files, report)
    if with_classes:
        counts = [
            Counter(objects.categories[objects.images == i].tolist()) for i in range(len(files))
        ]
        report_classes(name, names, *class_counts(counts, len(names)), len(files), report)


def _examine_size(
    name: str, id: Any, image: Mapping[str, Any], facts: ImageFacts, report: Report
) -> tuple[int, int] | None:
    """(height, width) that the annotations of an image are for; None where nothing tells it."""
    stated = (image.get("height"), image.get("width"))
    if None in stated:
        report.add(name, "size-missing", facts.file_name, f"image {id}")
        return facts.size
    height, width = map(as_integer, stated)
    if height is None or width is None or not has_mask_size(height, width):
        detail = f"image {id} has height {stated[0]!r} and width {stated[1]!r}"
        report.add(name, "size-invalid", facts.file_name, detail)
        return facts.size
    if (height, width) != stated or not all(type(value) is int for value in stated):
        detail = f"height {stated[0]!r} and width {stated[1]!r} of image {id}"
        report.add(name, "value-type", facts.file_name, detail)
    report_size(name, facts, (height, width), "the JSON", report)
    is_swapped = (width, height) == facts.size and not facts.is_turned
    return facts.size if is_swapped else (height, width)


def _report_annotations(
    name: str, coco: CocoFile, sizes: Mapping[Any, tuple[int, int] | None], report: Report
) -> tuple[dict[Any, list[dict]], ObjectFacts]:
    """Examine the annotations. Those that have an image and a category, by image id; and what they
    are together."""
    of_image: dict[Any, list[dict]] = defaultdict(list)
    corners = []
    image_ids = list(coco.images)
    find_image, find_category = Ids(image_ids), Ids(sorted(coco.categories, key=id_order))
    places: list[str] = []
    rows = []
    for annotation in coco.content["annotations"]:
        where = f"annotation {annotation.get('id')}"
        image, category = (
            _find(name, where, annotation, key, find, report)
            for key, find in (("image_id", find_image), ("category_id", find_category))
        )
        if image is None or category is None:
            continue
        id = image_ids[image]
        of_image[id].append(annotation)
        where += f" of {coco.image_file(coco.images[id])}"
        size = sizes[id]
        if size is None:
            continue
        examined = examine_annotation(annotation, *size)
        for kind, detail in examined.findings():
            report.add(name, kind, where, detail)
        corners.append(like_corners(annotation.get("bbox"), *size))
        cleaned = examined.cleaned
        if cleaned is not None:
            places.append(where)
            rows.append((image, category, cleaned["iscrowd"], "segmentation" in cleaned))
    report_corners(name, coco.json_file, corners, report)
    return of_image, ObjectFacts.of_rows(places, rows)


def _find(
    name: str, where: str, annotation: Mapping[str, Any], key: str, entries: Ids, report: Report
) -> int | None:
    """The number of the image or category of an annotation."""
    number, is_exact = entries.find(annotation.get(key))
    detail = f"{key} {annotation.get(key)!r}"
    if number is None:
        report.add(name, f"unknown-{key.removesuffix('_id')}", where, detail)
    elif not is_exact:
        report.add(name, "value-type", where, detail)
    return number


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
        if facts.is_turned:
            detail += "; the file's EXIF orientation turns it by a quarter"
        else:
            detail += f"; height and width are swapped in {source}"
    report.add(name, "size-mismatch", facts.file_name, detail)


def _report_lists(name: str, coco: CocoFile, report: Report) -> None:
    """Ids, names and gaps."""
    for key in ("images", "annotations", "categories"):
        _report_ids(name, key, coco.content[key], report)
    files = Counter(str(image_name(image)) for image in coco.content["images"])
    for file_name, count in files.items():
        if count > 1:
            report.add(name, "duplicate-file-name", file_name, f"{count} times")
    for image in coco.content["images"]:
        file_name, path = str(image_name(image) or ""), coco.image_file(image)
        if not file_name:
            report.add(name, "file-name-missing", f"image {image.get('id')}")
        elif path != os.path.join(coco.image_root, file_name):
            report.add(name, "file-name-odd", file_name, f"read as {path}")
    names = Counter(str(c.get("name")) for c in coco.categories.values())
    for category, count in names.items():
        if count > 1:
            report.add(name, "duplicate-category", category, f"{count} times")
    ids = sorted(id for id in coco.categories if isinstance(id, int))
    if ids and ids[-1] - ids[0] >= len(ids):
        gaps = [i for low, high in pairwise(ids) for i in range(low + 1, min(high, low + 30))]
        shown = ", ".join(map(str, gaps[:20])) + (", ..." if len(gaps) > 20 else "")
        detail = f"{len(ids)} ids from {ids[0]} to {ids[-1]}, without {shown}"
        report.add(name, "category-gaps", coco.json_file, detail)


def _report_ids(name: str, key: str, entries: Sequence[Mapping[str, Any]], report: Report) -> None:
    counts: Counter[int | str] = Counter()
    for number, entry in enumerate(entries):
        id = as_id(entry.get("id"))
        if id is None:
            where = f"number {number} (from 0) of {key}"
            report.add(name, "id-invalid", where, f"id {entry.get('id')!r}")
        else:
            counts[id] += 1
    for id, count in counts.items():
        if count > 1:
            report.add(name, "duplicate-id", f"id {id} of {key}", f"{count} times")


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
