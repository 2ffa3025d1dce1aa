"""Panoptic data sets in COCO's format: a JSON file, and a PNG of segments for each image."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from segsuite.errors import DataError

from ..catalog import DatasetCatalog, Metadata, MetadataCatalog
from ..image import read_image_size
from ..palette import default_colors
from ..panoptic import THINGS_LABEL
from ..sem_seg import IGNORE_LABEL
from .coco import load_coco_json
from .image_paths import existing_path
from .panoptic_json import read_panoptic_json


def register_coco_panoptic(
    name: str,
    panoptic_json: str | os.PathLike,
    panoptic_root: str | os.PathLike,
    image_root: str | os.PathLike,
    instances_json: str | os.PathLike | None = None,
) -> Metadata:
    """Register a panoptic data set in one call. Nothing is read until it is used.

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        panoptic_json, panoptic_root, image_root, instances_json: see `load_coco_panoptic`.

    Raises:
        ConfigError: the arguments contradict an earlier registration.
    """
    paths = {
        "panoptic_json": os.fspath(panoptic_json),
        "panoptic_root": os.fspath(panoptic_root),
        "image_root": os.fspath(image_root),
    }
    if instances_json is not None:
        instances_json = paths["json_file"] = os.fspath(instances_json)
    metadata = MetadataCatalog.get(name).set(
        **paths, ignore_label=IGNORE_LABEL, evaluator_type="coco_panoptic_seg"
    )
    if name not in DatasetCatalog:
        DatasetCatalog.register(
            name,
            lambda: load_coco_panoptic(
                *(panoptic_json, panoptic_root, image_root, instances_json), dataset_name=name
            ),
        )
    return metadata


def load_coco_panoptic(
    panoptic_json: str | os.PathLike,
    panoptic_root: str | os.PathLike,
    image_root: str | os.PathLike,
    instances_json: str | os.PathLike | None = None,
    dataset_name: str | None = None,
) -> list[dict]:
    """Read a panoptic data set.

    Categories with ``isthing`` become thing classes 0, 1, ... in the order of their ids, the others
    stuff classes 1, 2, ...; stuff class 0, "things", stands for all things.

    Args:
        panoptic_json: ``images``, ``annotations`` and ``categories``.
        panoptic_root: the folder of the PNGs; see `read_panoptic`.
        image_root: the folder of the images.
        instances_json: the same things as instances, see `load_coco_json`, which may overlap and
            have polygons; None: instances are the segments of the PNG.
        dataset_name: its metadata gets the classes, colours and ``thing_dataset_id_to_contiguous_
            id`` and ``stuff_dataset_id_to_contiguous_id`` (category id -> class).

    Returns:
        A record for each image, in the order of their ids: ``file_name``, ``image_id``, ``height``,
        ``width``, ``pan_seg_file_name``, ``segments_info``: ``id``, ``isthing``, ``category_id``
        (the thing or stuff class) and ``iscrowd`` of each segment; with `instances_json` also
        ``annotations``.

    Raises:
        MissingFileError: a JSON file is missing, or an image whose size the file doesn't say.
        DataError: see `read_panoptic_json`; faults of `instances_json`, or an image that it lacks.
    """
    content = read_panoptic_json(panoptic_json)
    things = [category for category in content.categories.values() if category["isthing"]]
    stuff = [category for category in content.categories.values() if not category["isthing"]]
    classes = {category["id"]: (True, i) for i, category in enumerate(things)}
    classes |= {category["id"]: (False, i) for i, category in enumerate(stuff, THINGS_LABEL + 1)}
    if dataset_name is not None:
        _set_metadata(dataset_name, things, stuff)
    of_instances = {}
    if instances_json is not None:
        of_instances = {r["image_id"]: r for r in load_coco_json(instances_json, image_root)}
    records = []
    for image_id, image in content.images.items():
        annotation = content.annotations[image_id]
        file_name = existing_path(os.fspath(image_root), image["file_name"])
        height, width = _size(image, file_name)
        record = {
            "file_name": file_name,
            "image_id": image_id,
            "height": height,
            "width": width,
            "pan_seg_file_name": existing_path(os.fspath(panoptic_root), annotation["file_name"]),
            "segments_info": [_to_segment(s, classes) for s in annotation["segments_info"]],
        }
        if instances_json is not None:
            if image_id not in of_instances:
                raise DataError(f"image {image_id} of {content.path} is not in {instances_json}")
            record["annotations"] = of_instances[image_id]["annotations"]
        records.append(record)
    return records


def _size(image: Mapping[str, Any], file_name: str) -> tuple[int, int]:
    """Height and width as the JSON says, or where it doesn't, the image."""
    if image["height"] is None or image["width"] is None:
        return read_image_size(file_name)
    return image["height"], image["width"]


def _to_segment(
    segment: Mapping[str, Any], classes: Mapping[Any, tuple[bool, int]]
) -> dict[str, Any]:
    is_thing, class_id = classes[segment["category_id"]]
    return {**segment, "isthing": is_thing, "category_id": class_id}


def _set_metadata(name: str, things: list[dict], stuff: list[dict]) -> None:
    metadata = MetadataCatalog.get(name).set(
        thing_classes=[category["name"] for category in things],
        thing_dataset_id_to_contiguous_id={c["id"]: i for i, c in enumerate(things)},
        stuff_classes=["things", *(category["name"] for category in stuff)],
        stuff_dataset_id_to_contiguous_id={
            c["id"]: i for i, c in enumerate(stuff, THINGS_LABEL + 1)
        },
    )
    if metadata.get("thing_colors") is None:
        colors = default_colors(len(things) + len(stuff) + 1)
        metadata.set(thing_colors=colors[: len(things)], stuff_colors=colors[len(things) :])
