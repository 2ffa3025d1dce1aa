"""Instances in COCO's JSON format, and in LVIS's, which is COCO's with a few more facts.

https://cocodataset.org/#format-data and https://www.lvisdataset.org/dataset describe them. Of a
file, ``images``, ``annotations`` and ``categories`` are read; nothing else needs to be there.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from segsuite.errors import DataError, FileAccessError, MissingFileError
from segsuite.structures import BoxMode
from segsuite.utils.files import parse_json

from ..catalog import DatasetCatalog, Metadata, MetadataCatalog
from ..palette import default_colors
from .coco_annotations import Faults, clean_annotation, some
from .root import PATH_ADVICE


def register_coco_instances(
    name: str,
    metadata: Mapping[str, Any],
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
) -> Metadata:
    """Register a data set in COCO's format in one call. Nothing is read until it is used.

    Registering the same again changes nothing.

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        metadata: more facts about it, such as ``thing_colors``; may be empty. The names of the
            categories, ``thing_classes``, come from the file when it is read. With ``image_ids``,
            a list, the data set is these images of the file alone, in evaluation too.
        json_file: annotations; see `load_coco_json`.
        image_root: the folder that its ``file_name`` entries start from.

    Raises:
        ConfigError: the arguments contradict an earlier registration.
    """
    json_file, image_root = os.fspath(json_file), os.fspath(image_root)
    facts = MetadataCatalog.get(name).set(
        json_file=json_file, image_root=image_root, evaluator_type="coco", **metadata
    )
    if name not in DatasetCatalog:
        image_ids = facts.get("image_ids")
        DatasetCatalog.register(
            name, lambda: load_coco_json(json_file, image_root, name, image_ids)
        )
    return facts


def load_coco_json(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    dataset_name: str | None = None,
    image_ids: Sequence[Any] | None = None,
) -> list[dict]:
    """Read a file in COCO's or LVIS's format.

    Categories become classes 0, 1, ... in the order of their ids, which may have gaps. Annotations
    that can't be used - a bbox without size, a polygon of two points or outside of the image, an
    RLE of another size, an image that is not in the file - are left out and named in one warning.

    Args:
        dataset_name: its metadata gets ``thing_classes``, ``thing_colors`` and
            ``thing_dataset_id_to_contiguous_id`` (category id -> class).
        image_ids: of the images that are wanted; None: all.

    Returns:
        A record for each image, in the order of their ids: ``file_name``, ``image_id``, ``height``,
        ``width`` and ``annotations``, a list of dicts with ``id``, ``category_id`` (the class),
        ``bbox`` [x, y, width, height] in pixels, ``bbox_mode`` XYWH_ABS, ``iscrowd`` and, unless
        there is none, ``segmentation``: flat float64 arrays of polygons, or a compressed RLE. With
        LVIS also ``neg_category_ids`` and ``not_exhaustive_category_ids``, as classes.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is not in this format; ids that occur twice; an annotation of a category
            that is not in the file; no annotation can be used; an unknown image is wanted.
    """
    json_file = os.fspath(json_file)
    version = os.stat(json_file).st_mtime_ns if os.path.exists(json_file) else None
    records, categories, classes = _load(json_file, os.fspath(image_root), version)
    if dataset_name is not None:
        _set_metadata(dataset_name, categories, classes)
    if image_ids is not None:
        unknown = set(image_ids).difference(record["image_id"] for record in records)
        if unknown:
            raise DataError(f"{json_file} has no image {some(sorted(unknown))}, which is asked for")
        records = [record for record in records if record["image_id"] in image_ids]
    return [dict(record) for record in records]


@functools.lru_cache(maxsize=2)
def _load(
    json_file: str, image_root: str, version: int | None
) -> tuple[list[dict], list[dict], dict[Any, int]]:
    """Records, categories and classes of a file, which is asked for by checks and loaders alike."""
    content = read_json(json_file, ("images", "annotations", "categories"))
    categories = sorted(content["categories"], key=lambda c: _get(c, "id", "a category", json_file))
    classes = {category["id"]: i for i, category in enumerate(categories)}
    if len(classes) != len(categories):
        raise DataError(f"{json_file}: {_repeated(categories, 'categories')}")
    images = content["images"]
    records = {
        _get(image, "id", "an image", json_file): _to_record(image, image_root, classes, json_file)
        for image in images
    }
    if len(records) != len(images):
        raise DataError(f"{json_file}: {_repeated(images, 'images')}")
    _add_annotations(content["annotations"], records, classes, json_file)
    return [records[image_id] for image_id in sorted(records)], categories, classes


def read_json(json_file: str, keys: tuple[str, ...]) -> dict[str, list]:
    """Read a file in COCO's format that has the lists `keys`.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is not JSON, lacks one of them, or has annotations with a ``bbox_mode`` that
            is not COCO's.
    """
    try:
        with open(json_file, encoding="utf-8") as file:
            content = parse_json(file.read())
    except FileNotFoundError:
        raise MissingFileError(f"no annotation file {json_file}; {PATH_ADVICE}") from None
    except OSError as e:
        raise FileAccessError(e.errno, f"{json_file} can't be read: {e.strerror}") from None
    except ValueError as e:
        raise DataError(f"{json_file} is not a JSON file: {e}. Copy it again") from None
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise DataError(
            f"{json_file} lacks {', '.join(missing)}; expected COCO's format: an object with the "
            f"lists {', '.join(keys)}"
        )
    _check_box_modes(json_file, content.get("annotations"))
    return content


def _check_box_modes(json_file: str, annotations: Any) -> None:
    """Refuse boxes that say of themselves that they are not x, y, width, height."""
    for annotation in annotations if isinstance(annotations, list) else ():
        mode = annotation.get("bbox_mode", 1) if isinstance(annotation, dict) else 1
        if mode != BoxMode.XYWH_ABS:
            raise DataError(
                f"{json_file}: annotation {annotation.get('id')} has bbox_mode {mode!r}, but in "
                "COCO's format boxes are x, y, width, height (1, XYWH_ABS); write them so "
                "(segsuite.structures.BoxMode.convert), or register a function that returns records"
            )


def _get(entry: Mapping[str, Any], key: str, kind: str, json_file: str) -> Any:
    if key not in entry:
        raise DataError(f"{json_file}: {kind} has no '{key}': {str(entry)[:200]}")
    return entry[key]


def _repeated(entries: list[dict], kind: str) -> str:
    """Say which ids of `entries` occur more than once."""
    twice = [id for id, count in Counter(e["id"] for e in entries).items() if count > 1]
    return f"{kind} with the same id: {some(twice)}; expected ids that occur once. Number them anew"


def _set_metadata(name: str, categories: list[dict], classes: dict[Any, int]) -> None:
    metadata = MetadataCatalog.get(name).set(
        thing_classes=[str(category.get("name", category["id"])) for category in categories],
        thing_dataset_id_to_contiguous_id=classes,
    )
    if metadata.get("thing_colors") is None:
        metadata.set(thing_colors=default_colors(len(categories)))
    # LVIS counts for each category the training images that it is in.
    if categories and all("image_count" in category for category in categories):
        metadata.set(class_image_count=[category["image_count"] for category in categories])


def _to_record(
    image: dict[str, Any], image_root: str | os.PathLike, classes: dict[Any, int], json_file: str
) -> dict[str, Any]:
    if "file_name" in image or "coco_url" not in image:
        file_name = _get(image, "file_name", f"image {image['id']}", json_file)
    else:
        # LVIS draws from several of COCO's folders: http://.../val2017/000000397133.jpg
        file_name = "/".join(image["coco_url"].rsplit("/", 2)[1:])
    record = {
        "file_name": os.path.join(image_root, file_name),
        "image_id": image["id"],
        "height": _get(image, "height", f"image {image['id']}", json_file),
        "width": _get(image, "width", f"image {image['id']}", json_file),
        "annotations": [],
    }
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        if key in image:
            record[key] = [classes[category] for category in image[key]]
    return record


def _add_annotations(
    annotations: list[dict], records: dict[Any, dict], classes: dict[Any, int], json_file: str
) -> None:
    faults = Faults()
    seen: set = set()
    unknown = []
    num_used = 0
    for annotation in annotations:
        id_ = _get(annotation, "id", "an annotation", json_file)
        if id_ in seen:
            raise DataError(f"{json_file}: {_repeated(annotations, 'annotations')}")
        seen.add(id_)
        record = records.get(annotation.get("image_id"))
        if record is None:
            faults.add("of an image that the file does not list", id_)
            continue
        category = classes.get(annotation.get("category_id"))
        if category is None:
            unknown.append(f"{id_} (category {annotation.get('category_id')})")
            continue
        cleaned = clean_annotation(annotation, record["height"], record["width"], faults)
        if cleaned is not None:
            record["annotations"].append(
                {**cleaned, "bbox_mode": BoxMode.XYWH_ABS, "category_id": category}
            )
            num_used += 1
    if unknown:
        raise DataError(
            f"{json_file}: {len(unknown)} annotations of a category that the file does not list: "
            f"annotation {some(unknown)}. It lists the ids {some(list(classes))}; add the category "
            "or remove the annotations"
        )
    faults.report(json_file, len(annotations))
    if annotations and not num_used:
        raise DataError(f"{json_file}: none of its {len(annotations)} annotations can be used")
