"""Records of any data set in COCO's format, for evaluation and for other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segsuite.errors import DataError
from segsuite.structures import to_rle

from ..boxes import annotation_name, as_coco_box, record_size
from ..catalog import Metadata
from .coco_images import LVIS_KEYS


def records_to_coco(records: Sequence[Mapping[str, Any]], metadata: Metadata) -> dict[str, Any]:
    """The content of a COCO instances file, ready for `json.dump`.

    Args:
        records: with ``annotations``; their boxes may be written in any `BoxMode` that is not
            rotated.
        metadata: ``thing_classes``, and ``thing_dataset_id_to_contiguous_id`` (category id ->
            class) where the ids of the categories are not the classes themselves.

    Returns:
        ``images``, ``annotations``, numbered from 1, and ``categories``. An annotation without an
        ``area`` gets that of its mask, or of its box where it has none.

    Raises:
        DataError: an annotation's box can't be used, or a class is none of `metadata`; two records
            have one ``image_id``. The message names the file.
        MissingFileError, DataError: the size of an image is neither in its record nor readable.
    """
    names = metadata.thing_classes
    ids = metadata.get("thing_dataset_id_to_contiguous_id") or {k: k for k in range(len(names))}
    categories = {k: category for category, k in ids.items()}
    images: dict[Any, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for record in records:
        image_id, size = record["image_id"], record_size(record)
        if image_id in images:
            raise DataError(
                f"data set '{metadata.name}': {images[image_id]['file_name']} and "
                f"{record['file_name']} have one image_id, {image_id!r}; number the images anew"
            )
        file_name = str(record["file_name"])
        images[image_id] = {
            "id": image_id,
            "file_name": file_name,
            "height": size[0],
            "width": size[1],
        } | {
            key: [categories[k] for k in record[key] if k in categories]
            for key in LVIS_KEYS
            if record.get(key) is not None
        }
        for number, annotation in enumerate(record.get("annotations", ())):
            name = f"{file_name}: {annotation_name(annotation, number)}"
            if annotation["category_id"] not in categories:
                raise DataError(
                    f"{name} has the class "
                    f"{annotation['category_id']}; data set '{metadata.name}' has "
                    f"{', '.join(map(str, categories))}"
                )
            try:
                converted = _annotation(annotation, size)
            except (DataError, ValueError) as e:
                raise DataError(f"{name}: {e}") from None
            category = categories[annotation["category_id"]]
            place = {"id": len(annotations) + 1, "image_id": image_id, "category_id": category}
            annotations.append(place | converted)
    return {
        "images": list(images.values()),
        "annotations": annotations,
        "categories": [{"id": c, "name": names[k]} for k, c in sorted(categories.items())],
    }


def _annotation(annotation: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    bbox = as_coco_box(annotation, size)
    converted = {"bbox": bbox, "iscrowd": int(bool(annotation.get("iscrowd", 0)))}
    area = bbox[2] * bbox[3]
    segmentation = annotation.get("segmentation")
    if segmentation is not None and len(segmentation):
        rle = to_rle(segmentation, *size)
        area = float(coco_mask.area(rle))
        if isinstance(segmentation, Mapping):
            counts = rle["counts"]
            text = counts.decode("ascii") if isinstance(counts, bytes) else counts
            converted["segmentation"] = {"size": list(size), "counts": text}
        else:
            polygons = [np.asarray(polygon, float).tolist() for polygon in segmentation]
            converted["segmentation"] = polygons
    return converted | {"area": annotation.get("area", area)}
