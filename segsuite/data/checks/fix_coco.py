"""A fixed copy of a JSON file of instances; the images stay as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segsuite.structures import to_rle
from segsuite.structures.polygons import has_mask_size
from segsuite.utils.files import write_json

from ..datasets.coco_faults import VALUE_TYPE, Outcome
from ..datasets.coco_images import image_name
from ..datasets.coco_values import Ids, as_id, as_integer
from .coco import CocoFile
from .images import UNUSABLE, ImageFacts, examine_image
from .objects import Examined, examine_annotation

# Keys whose values are written as they were read.
_KEYS = ("bbox", "iscrowd", "area", "segmentation")


def fix_coco(coco: CocoFile, output: Path) -> list[str]:
    """Write ``annotations.json`` into `output`.

    Left out: images that can't be read, annotations without a usable box or mask, or of an unknown
    image or category, and what can't be used of masks. Fixed: heights and widths that are swapped
    or missing, names of images with backslashes or %20, boxes from masks, boxes that reach beyond
    the image, wrong areas, ids that occur twice, values of another type than COCO's.

    Returns:
        What was done, a line for each change.
    """
    changes: list[str] = []
    images = _fixed_images(coco, changes)
    annotations = _Annotations(coco, images, changes)
    for annotation in coco.content["annotations"]:
        annotations.add(annotation)
    content = {
        **coco.content,
        "images": [image for id, image in sorted(images.items(), key=lambda item: str(item[0]))],
        "annotations": annotations.fixed,
        "categories": [{**category, "id": id} for id, category in coco.categories.items()],
    }
    write_json(output / "annotations.json", content)
    return changes


def _fixed_images(coco: CocoFile, changes: list[str]) -> dict[Any, dict[str, Any]]:
    """The entries of images that can be used, by id."""
    images = {}
    for id, image in coco.images.items():
        facts = examine_image(coco.image_file(image))
        reason = next((kind for kind, _ in facts.faults if kind in UNUSABLE), None)
        if reason is not None:
            changes.append(f"left out {facts.file_name}: {reason}")
            continue
        fixed = {**image, "id": id}
        name = image_name(image)
        if facts.file_name != str(Path(coco.image_root, name)) and Path(facts.file_name).exists():
            relative = Path(facts.file_name)
            if relative.is_relative_to(coco.image_root):
                fixed["file_name"] = relative.relative_to(coco.image_root).as_posix()
                changes.append(f"fixed {facts.file_name}: its name was {name}")
        height, width, how = _fixed_size(image, facts)
        fixed |= {"height": height, "width": width}
        if how:
            changes.append(f"fixed {facts.file_name}: {how}")
        images[id] = fixed
    return images


def _fixed_size(image: Mapping[str, Any], facts: ImageFacts) -> tuple[int, int, str]:
    """Height and width that the annotations of an image are for, and what was done."""
    assert facts.size is not None
    stated = image.get("height"), image.get("width")
    height, width = map(as_integer, stated)
    if height is None or width is None or not has_mask_size(height, width):
        return *facts.size, f"height and width are those of the file, {facts.size}"
    # What EXIF turns may be annotated as it is stored: that can't be told.
    if (width, height) == facts.size != (height, width) and not facts.is_turned:
        return *facts.size, f"height and width were swapped, now {facts.size}"
    is_odd = (height, width) != stated or not all(type(value) is int for value in stated)
    return height, width, "height and width are whole numbers" if is_odd else ""


class _Annotations:
    """Fixes annotations one after another.

    Attributes:
        fixed: those that are kept.
    """

    def __init__(
        self, coco: CocoFile, images: Mapping[Any, dict[str, Any]], changes: list[str]
    ) -> None:
        self.fixed: list[dict[str, Any]] = []
        self._images, self._changes = images, changes
        self._image_ids, self._category_ids = list(images), list(coco.categories)
        self._find_image, self._find_category = Ids(self._image_ids), Ids(self._category_ids)
        self._contents: set[str] = set()
        self._used: set[Any] = set()
        ids = [as_id(annotation.get("id")) for annotation in coco.content["annotations"]]
        self._free = 1 + max((id for id in ids if isinstance(id, int)), default=0)

    def add(self, annotation: Mapping[str, Any]) -> None:
        """Fix an annotation, or leave it out."""
        given = annotation.get("id")
        fixed, how = self._fix(annotation)
        same = json.dumps({**annotation, "id": None}, sort_keys=True)
        if fixed is not None and same in self._contents:
            fixed, how = None, "the same object again"
        if fixed is None:
            self._changes.append(f"left out annotation {given}: {how}")
            return
        self._contents.add(same)
        id = as_id(given)
        if id is None or id in self._used:
            id, self._free = self._free, self._free + 1
            how = f"{how}; id is {id}".removeprefix("; ")
        fixed["id"] = id
        self._used.add(id)
        if how:
            self._changes.append(f"fixed annotation {given}: {how}")
        self.fixed.append(fixed)

    def _fix(self, annotation: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
        """The annotation as it should be, and what was done; None and why it is left out."""
        image, _ = self._find_image.find(annotation.get("image_id"))
        if image is None:
            return None, "its image is left out or unknown"
        category, _ = self._find_category.find(annotation.get("category_id"))
        if category is None:
            return None, "its category is unknown"
        ids = {"image_id": self._image_ids[image], "category_id": self._category_ids[category]}
        size = self._images[ids["image_id"]]
        fixed, how = _fixed_annotation(annotation, size["height"], size["width"])
        if fixed is None:
            return None, how
        odd = [key for key in ids if type(ids[key]) is not type(annotation[key])]
        done = [how] if how else []
        return {**fixed, **ids}, ", ".join([*done, *(f"{key} as the list has it" for key in odd)])


def _fixed_annotation(
    annotation: Mapping[str, Any], height: int, width: int
) -> tuple[dict[str, Any] | None, str]:
    examined = examine_annotation(annotation, height, width)
    done = []
    if examined.cleaned is None:  # its box can't be used
        examined = examine_annotation({**annotation, "bbox": None}, height, width)
        if examined.cleaned is None:
            return None, "its box can't be used and it has no usable mask"
    kinds = {kind for kind, _ in examined.findings()}
    if "flag-invalid" in kinds:
        return None, "iscrowd or ignore is neither 0 nor 1"
    if "bbox-missing" in kinds:
        done.append("bbox from the mask")
    fixed, cleaned = dict(annotation), dict(examined.cleaned)
    done += _fix_mask(examined, cleaned, kinds, height, width)
    if "bbox-beyond" in kinds and "bbox-missing" not in kinds:
        x, y, w, h = cleaned["bbox"]
        right, bottom = min(x + w, width), min(y + h, height)
        x, y = max(x, 0), max(y, 0)
        cleaned["bbox"] = [x, y, right - x, bottom - y]
        done.append("bbox clipped to the image")
    done += _fix_values(annotation, examined)
    if done:
        fixed.pop("ignore", None)  # iscrowd says it
        for key in _KEYS:
            fixed.pop(key, None)
            if key in cleaned:
                fixed[key] = _as_json(cleaned[key])
    return fixed, ", ".join(done)


def _fix_values(annotation: Mapping[str, Any], examined: Examined) -> list[str]:
    """What is done by writing the values of an annotation as they were read."""
    is_odd = any(fault is VALUE_TYPE for fault, _ in examined.faults)
    is_null = any(annotation.get(key, 0) is None for key in _KEYS)
    return ["values as COCO has them"] * is_odd + ["null replaced"] * is_null


def _fix_mask(
    examined: Examined, cleaned: dict[str, Any], kinds: set[str], height: int, width: int
) -> list[str]:
    """Bring the mask and the area of a cleaned annotation in order, and return what was done."""
    done = []
    is_masked = "segmentation" in cleaned
    if any(fault.outcome is Outcome.MASK_LEFT_OUT for fault, _ in examined.faults):
        done.append("unusable polygons dropped" if is_masked else "mask dropped, it can't be used")
    if "mask-empty" in kinds:
        del cleaned["segmentation"]
        done.append("mask dropped, it has no pixel")
        is_masked = False
    if "area-wrong" in kinds or ("area-invalid" in kinds):
        box = cleaned["bbox"]
        area = box[2] * box[3]
        if is_masked:
            area = float(coco_mask.area(to_rle(cleaned["segmentation"], height, width)))
        cleaned["area"] = area
        done.append(f"area from the {'mask' if is_masked else 'bbox'}")
    return done


def _as_json(value: Any) -> Any:
    """A cleaned value as JSON holds it."""
    if isinstance(value, dict):
        counts = value["counts"]
        text = counts.decode("ascii") if isinstance(counts, bytes) else counts
        return {"size": list(value["size"]), "counts": text}
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [polygon.tolist() for polygon in value]
    return value
