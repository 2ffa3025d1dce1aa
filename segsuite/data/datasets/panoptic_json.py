"""The JSON file of a panoptic data set in COCO's format, checked and normalised."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segsuite.errors import DataError

from .coco_faults import some
from .coco_reading import read_json
from .coco_values import Ids, as_flag, as_id, as_integer, id_order

# Ids of segments are three bytes of colour; 0 says that a pixel has none.
_MAX_SEGMENT = 256**3 - 1


@dataclass(frozen=True)
class PanopticJSON:
    """What a file says, by ids, which are in ascending order.

    Attributes:
        path: the file.
        categories: ``id``, ``name`` and ``isthing``, a bool.
        annotations: by the id of the image: ``image_id``, ``file_name`` (of the PNG) and
            ``segments_info``: ``id``, ``category_id`` and ``iscrowd``, 0 or 1.
        images: ``id``, ``file_name``, and ``height`` and ``width``, in pixels or None where they
            are missing; empty where the file lists no images, as evaluation needs none.
    """

    path: str
    categories: dict[Any, dict[str, Any]]
    annotations: dict[Any, dict[str, Any]]
    images: dict[Any, dict[str, Any]]


def read_panoptic_json(path: str | os.PathLike, *, with_images: bool = True) -> PanopticJSON:
    """Read the JSON file of a panoptic data set; its PNG files are not looked at.

    Args:
        with_images: ask for the list of images, and for one annotation of each.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is not in this format: a list, an ``id``, ``file_name``, ``isthing`` or
            ``segments_info`` is missing; ids or the annotations of an image occur twice; a segment
            has the id 0, which is none, or a category that is not listed; an image has no
            annotation, or the reverse. The message names the file and the entry.
    """
    path = os.fspath(path)
    keys = ("images", "annotations", "categories") if with_images else ("annotations", "categories")
    content: Mapping[str, Any] = read_json(path, keys)
    refuse_instances(content["annotations"], path)
    categories = _by_id("category", path, _categories(content["categories"], path))
    images = _by_id("image", path, _images(content["images"], path)) if with_images else {}
    entries = _annotations(content["annotations"], Ids(categories), Ids(images), path)
    annotations = _by_id("annotation of image", path, entries)
    apart = images.keys() ^ annotations.keys() if with_images else set()
    if apart:
        raise DataError(
            f"{path}: {len(apart)} images without an annotation, or annotations without an image: "
            f"{some(sorted(apart, key=id_order))}"
        )
    return PanopticJSON(path, categories, annotations, images)


def refuse_instances(annotations: list[Any], path: str) -> None:
    """Refuse a file whose annotations are of single objects.

    Raises:
        DataError: it is such a file.
    """
    first = annotations[0] if annotations else None
    if (
        isinstance(first, Mapping)
        and "segments_info" not in first
        and ("segmentation" in first or "category_id" in first)
    ):
        raise DataError(
            f"{path} is a file of instances: its annotations are single objects and have no "
            "'segments_info'. Give the file of panoptic segments here (ANNOTATIONS, "
            "panoptic_json), such as panoptic_train2017.json, and this one as INSTANCES "
            "(instances_json)"
        )


def parse_annotation(
    entry: Any, categories: Ids, images: Ids, path: str | os.PathLike
) -> dict[str, Any]:
    """An annotation of an image with all that is needed of it, its ids as they are listed.

    Args:
        entry: of the file; what else it has is kept.
        categories, images: those that are listed. Ids of others stay as they are.
        path: the JSON file, for messages.

    Raises:
        DataError: an ``image_id``, ``file_name`` or ``segments_info`` is missing or something else;
            so is an ``id`` or ``category_id`` of a segment.
    """
    image_id = _find(images, _need_id(entry, "image_id", "an annotation", path))
    name = f"the annotation of image {image_id!r}"
    file_name = str(_need(entry, "file_name", name, path))
    infos = _need(entry, "segments_info", f"{name} ({file_name})", path)
    if not isinstance(infos, list):
        found = f"{infos!r:.80}"
        raise DataError(
            f"{path}: segments_info of {file_name} is {found}; expected a list of objects"
        )
    segments = []
    for info in infos:
        id_ = as_integer(_need(info, "id", f"a segment of {file_name}", path))
        if id_ is None:
            raise DataError(
                f"{path}: a segment of {file_name} has the id {info['id']!r}; expected 1 to "
                f"{_MAX_SEGMENT}"
            )
        category = _need_id(info, "category_id", f"segment {id_} of {file_name}", path)
        segments.append({**info, "id": id_, "category_id": _find(categories, category)})
    return {**entry, "image_id": image_id, "file_name": file_name, "segments_info": segments}


def _find(entries: Ids, id_: Any) -> Any:
    """The id as it is listed, of which `id_` may be another spelling; `id_` if it is not."""
    number, is_exact = entries.find(id_)
    return id_ if is_exact or number is None else [*entries.exact][number]


def check_segments(
    annotation: Mapping[str, Any], categories: Ids, path: str | os.PathLike
) -> list[dict[str, Any]]:
    """The segments of an annotation: ``id``, ``category_id`` and ``iscrowd`` 0 or 1 of each.

    Args:
        annotation: from `parse_annotation`.
        categories: those that there are; others are refused.
        path: the JSON file, for messages.

    Raises:
        DataError: see `read_panoptic_json`.
    """
    of = f"of {annotation['file_name']}"
    segments: dict[int, dict[str, Any]] = {}
    for info in annotation["segments_info"]:
        id_, category = info["id"], info["category_id"]
        if not 0 < id_ <= _MAX_SEGMENT:
            none = ", which says that a pixel has no segment" if id_ == 0 else ""
            raise DataError(
                f"{path}: a segment {of} has the id {id_}{none}; expected 1 to {_MAX_SEGMENT}. "
                "Give it another id, in the PNG file too"
            )
        if id_ in segments:
            raise DataError(f"{path}: segment {id_} {of} is listed twice; ids must be unique there")
        if category not in categories.exact:
            raise DataError(
                f"{path}: segment {id_} {of} has the category {category!r}, which is not in the "
                f"list of categories; it has the ids {some([*categories.exact])}"
            )
        crowd = as_flag(info.get("iscrowd"))
        if crowd is None:
            raise DataError(
                f"{path}: segment {id_} {of} has iscrowd {info['iscrowd']!r}; expected 0 or 1"
            )
        segments[id_] = {"id": id_, "category_id": category, "iscrowd": int(crowd)}
    return [*segments.values()]


def normalized_category(category: Any, path: str | os.PathLike) -> dict[str, Any]:
    """The ``id``, ``name`` and ``isthing``, a bool, of a category.

    Raises:
        DataError: see `read_panoptic_json`.
    """
    id_ = _need_id(category, "id", "a category", path)
    name = str(category.get("name", id_))
    kind = as_flag(category.get("isthing"))
    if kind is None or category.get("isthing") is None:
        found = category.get("isthing", "none")
        raise DataError(
            f"{path}: category {id_!r} ('{name}') needs an 'isthing', 1 for things, of which "
            f"objects are told apart, and 0 for stuff; found {found!r}. If the file is one of "
            "instances, register it as such (FORMAT: coco_instances)"
        )
    return {"id": id_, "name": name, "isthing": kind}


def _categories(entries: list[Any], path: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    for entry in entries:
        category = normalized_category(entry, path)
        yield category["id"], category


def _annotations(
    entries: list[Any], categories: Ids, images: Ids, path: str
) -> Iterator[tuple[Any, dict[str, Any]]]:
    for entry in entries:
        annotation = parse_annotation(entry, categories, images, path)
        yield (
            annotation["image_id"],
            {
                "image_id": annotation["image_id"],
                "file_name": annotation["file_name"],
                "segments_info": check_segments(annotation, categories, path),
            },
        )


def _images(entries: list[Any], path: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    for image in entries:
        id_ = _need_id(image, "id", "an image", path)
        entry = {"id": id_, "file_name": str(_need(image, "file_name", f"image {id_!r}", path))}
        for key in ("height", "width"):
            stated = image.get(key)
            entry[key] = None if stated is None else as_integer(stated)
            if stated is not None and (entry[key] or 0) <= 0:
                raise DataError(
                    f"{path}: image {id_!r} ({entry['file_name']}) has the {key} {stated!r}; "
                    "expected a number of pixels"
                )
        yield id_, entry


def _by_id(
    kind: str, path: str, entries: Iterator[tuple[Any, dict[str, Any]]]
) -> dict[Any, dict[str, Any]]:
    """The entries by their ids in ascending order; each must be there once."""
    found: dict[Any, dict[str, Any]] = {}
    for id_, entry in entries:
        if id_ in found:
            names = [e.get("file_name", e.get("name")) for e in (found[id_], entry)]
            raise DataError(
                f"{path}: {kind} {id_!r} is there twice ({names[0]} and {names[1]}); expected one"
            )
        found[id_] = entry
    return {id_: found[id_] for id_ in sorted(found, key=id_order)}


def _need(entry: Any, key: str, name: str, path: str | os.PathLike) -> Any:
    if not isinstance(entry, Mapping):
        raise DataError(f"{path}: {name} is {entry!r:.80}; expected an object")
    if entry.get(key) is None:
        raise DataError(f"{path}: {name} has no '{key}': {str(entry)[:200]}")
    return entry[key]


def _need_id(entry: Any, key: str, name: str, path: str | os.PathLike) -> Any:
    """An id: a whole number or text."""
    value = _need(entry, key, name, path)
    id_ = as_id(value)
    if id_ is None:
        raise DataError(f"{path}: {name} has the {key} {value!r}; expected a number or text")
    return id_
