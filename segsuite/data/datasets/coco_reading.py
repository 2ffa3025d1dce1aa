"""A file of instances in COCO's format, read once and the same way for whoever asks.

Training, the quick check, the data doctor and evaluation take what `parse_instances` gives, by way
of the cache (`coco_cache`), so what one of them leaves out the others leave out too.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

import numpy as np

from segsuite.errors import DataError, FileAccessError, MissingFileError
from segsuite.structures import BoxMode
from segsuite.utils.files import parse_json, parse_large_json

from ..cache.folder import file_state
from .coco_faults import Faults, some
from .coco_images import (
    read_file_names,
    read_image_facts,
    read_sizes,
)
from .coco_table import AnnotationRows, AnnotationTable
from .coco_values import Ids, as_id, as_integer, id_order
from .root import PATH_ADVICE


@dataclass(frozen=True)
class CocoInstances:
    """What a file says, normalised.

    Attributes:
        source: the file, or what messages call it.
        image_ids: I ids, whole numbers or texts, in the order of the file.
        file_names: I paths, with the folder of the images.
        sizes: (I, 2) int64: height and width, in pixels.
        image_facts: of LVIS, I dicts with numbers of categories: ``neg_category_ids`` and
            ``not_exhaustive_category_ids``.
        category_ids, category_names: of C categories, in the order of their ids; the number of one
            is its class, unless classes are matched by name.
        category_facts: C entries of the file.
        annotations: those that can be used; None where the file has no annotations, as the lists of
            images of COCO's test sets.
        num_annotations: how many the file has.
        faults: what was left out, and what was read as something else.
        files: of other files that were looked at path and `file_state`; an empty state where it
            matters that there is none.
    """

    source: str
    image_ids: list[Any]
    file_names: list[str]
    sizes: np.ndarray
    image_facts: list[dict[str, list[int]]]
    category_ids: list[Any]
    category_names: list[str]
    category_facts: list[dict[str, Any]]
    annotations: AnnotationTable | None
    num_annotations: int
    faults: Faults
    files: list[tuple[str, tuple[int, ...]]]


def read_json(
    json_file: str | os.PathLike,
    lists: Sequence[str],
    optional: Sequence[str] = (),
    *,
    exact: bool = True,
) -> dict[str, Any]:
    """Read a file in COCO's format.

    Args:
        lists: keys that it must have, each with a list of objects.
        optional: keys that it may have.
        exact: False: several times as fast; whole numbers beyond 64 bits become floats.

    Raises:
        MissingFileError: there is no such file.
        FileAccessError: it can't be read.
        DataError: it is not JSON, or lacks one of the lists.
    """
    try:
        with open(json_file, "rb") as file:
            text = file.read()
        content = parse_json(text) if exact else parse_large_json(text)
    except FileNotFoundError:
        raise MissingFileError(f"no annotation file {json_file}; {PATH_ADVICE}") from None
    except OSError as e:
        raise FileAccessError(e.errno, f"{json_file} can't be read: {e.strerror}") from None
    except ValueError as e:
        advice = "Remove the entry that is" if "nested" in str(e) else "Copy it again"
        raise DataError(f"{json_file} is not a JSON file: {e}. {advice}") from None
    check_lists(content, json_file, lists, optional)
    return content


def check_lists(
    content: Any, source: str | os.PathLike, lists: Sequence[str], optional: Sequence[str] = ()
) -> None:
    """Check that the content of a file has lists of objects.

    Raises:
        DataError: it lacks one, or one is something else.
    """
    has = content if isinstance(content, Mapping) else {}
    missing = [key for key in lists if has.get(key) is None]
    if missing:
        raise DataError(
            f"{source} lacks {', '.join(missing)}; expected COCO's format: an object with the "
            f"lists {', '.join((*lists, *optional))}"
        )
    for key in (*lists, *optional):
        entries = has.get(key)
        if entries is None:
            continue
        if not isinstance(entries, list):
            raise DataError(f"{source}: '{key}' is {_kind(entries)}; expected a list of objects")
        if not set(map(type, entries)) <= {dict}:
            number, entry = next((i, e) for i, e in enumerate(entries) if type(e) is not dict)
            raise DataError(
                f"{source}: number {number} (from 0) of '{key}' is {_kind(entry)}; expected an "
                "object. Remove it"
            )


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", type(None): "null"}
    return names.get(type(value), repr(value)[:40])


def parse_instances(
    content: Mapping[str, Any] | Iterable[tuple[str, Any]],
    source: str,
    image_root: str | None = None,
) -> CocoInstances:
    """Normalise the content of a file in COCO's or LVIS's format.

    Args:
        content: with the lists that `read_json` asks for; or keys and parts of these lists, as
            `split_json` gives them, in which annotations follow the images.
        source: the file, or what messages call it.

    Raises:
        DataError: ids that are missing, no ids or occur twice; an image without a name, or whose
            size can't be used; annotations of a category that is not listed, or with flags that are
            none, or with a ``bbox_mode`` that is not COCO's.
        ValueError: parts of lists are not as they should be, which a look at the whole may change.
    """
    if not isinstance(content, Mapping):
        return _parse_parts(content, source, image_root)
    categories = _Categories.read(content["categories"], source)
    images = _Images.read(content["images"], source, image_root)
    annotations = content.get("annotations")
    if annotations is None:
        return _instances(source, categories, images, None, [])
    ids = read_ids(annotations, "annotations", source)
    check_box_modes(annotations, source)
    rows = AnnotationRows(images.find, images.sizes)
    rows.add(annotations)
    return _instances(source, categories, images, rows, ids)


def _parse_parts(
    parts: Iterable[tuple[str, Any]], source: str, image_root: str | None
) -> CocoInstances:
    lists: dict[str, list[Any]] = {}
    images, rows = None, None
    for key, values in parts:
        if key not in ("images", "categories", "annotations"):
            continue
        if type(values) is not list or not set(map(type, values)) <= {dict}:
            raise ValueError(f"{key} is no list of objects")
        if key != "annotations":
            lists.setdefault(key, []).extend(values)
            continue
        if rows is None:
            if "images" not in lists:
                raise ValueError("annotations come before the images that they are of")
            images = _Images.read(lists["images"], source, image_root)
            rows = AnnotationRows(images.find, images.sizes)
        check_box_modes(values, source)
        rows.add(values)
    if "images" not in lists or "categories" not in lists:
        raise ValueError("a list is missing")
    if images is None:
        images = _Images.read(lists["images"], source, image_root)
    categories = _Categories.read(lists["categories"], source)
    ids = [] if rows is None else check_ids(rows.ids, rows.ids, "annotations", source)
    return _instances(source, categories, images, rows, ids)


@dataclass(frozen=True)
class _Categories:
    """The categories of a file in the order of their ids."""

    ids: list[Any]
    entries: list[dict[str, Any]]

    @classmethod
    def read(cls, entries: list[dict[str, Any]], source: str) -> _Categories:
        ids = read_ids(entries, "categories", source)
        order = sorted(range(len(ids)), key=lambda i: id_order(ids[i]))
        return cls([ids[i] for i in order], [entries[i] for i in order])

    def names(self, faults: Faults) -> list[str]:
        """A name for each, which no other has: classes are matched and figures listed by them."""
        names = [_name(c, id) for c, id in zip(self.entries, self.ids, strict=True)]
        twice = [name for name, count in Counter(names).items() if count > 1]
        for name in twice:
            ids = [id for own, id in zip(names, self.ids, strict=True) if own == name]
            faults.notes.append(
                f"{len(ids)} categories are called '{name}' (ids {some(ids)}), told apart as "
                f"'{name} ({ids[0]})', '{name} ({ids[1]})'. Give each a name of its own, or the "
                "annotations of one class one category_id"
            )
        return [f"{n} ({id})" if n in twice else n for n, id in zip(names, self.ids, strict=True)]


@dataclass(frozen=True)
class _Images:
    """The images of a file, in its order; see `CocoInstances`."""

    ids: list[Any]
    entries: list[dict[str, Any]]
    file_names: list[str]
    sizes: np.ndarray
    files: list[str]
    faults: Faults
    find: Ids

    @classmethod
    def read(cls, entries: list[dict[str, Any]], source: str, root: str | None) -> _Images:
        ids, faults = read_ids(entries, "images", source), Faults()
        files: list[str] = []
        file_names = read_file_names(entries, ids, source, root, faults, files)
        sizes = read_sizes(entries, ids, file_names, source, root, files)
        return cls(ids, entries, file_names, sizes, files, faults, Ids(ids))


def _instances(
    source: str,
    categories: _Categories,
    images: _Images,
    rows: AnnotationRows | None,
    annotation_ids: list[Any],
) -> CocoInstances:
    faults = images.faults
    find_category = Ids(categories.ids)
    table = None
    if rows is not None:
        table = rows.table(annotation_ids, find_category, faults)
        faults.refuse(
            source,
            len(rows),
            f"It lists the categories {some(categories.ids)}. Correct or remove the annotations, "
            "or add the categories",
        )
    return CocoInstances(
        source=source,
        image_ids=images.ids,
        file_names=images.file_names,
        sizes=images.sizes,
        image_facts=read_image_facts(images.entries, find_category, source, faults),
        category_ids=categories.ids,
        category_names=categories.names(faults),
        category_facts=categories.entries,
        annotations=table,
        num_annotations=0 if rows is None else len(rows),
        faults=faults,
        files=[(os.path.abspath(path), _state(path)) for path in images.files],
    )


def _state(path: str) -> tuple[int, ...]:
    try:
        return file_state(path)
    except OSError:
        return ()


def _name(category: Mapping[str, Any], id: Any) -> str:
    name = category.get("name")
    return str(id if name is None else name)


def read_ids(entries: Sequence[Mapping[str, Any]], kind: str, source: str) -> list[Any]:
    """The ids of a list of a file: whole numbers, or texts as they are.

    Raises:
        DataError: one is missing, is something else, or occurs twice.
    """
    return check_ids(list(map(methodcaller("get", "id"), entries)), entries, kind, source)


def check_ids(ids: list[Any], entries: Sequence[Any], kind: str, source: str) -> list[Any]:
    """The same of ids that have been taken from their entries, which are for messages alone."""
    if not set(map(type, ids)) <= {int}:
        for i, given in enumerate(ids):
            ids[i] = as_id(given)
            if ids[i] is None:
                one = {"images": "an image", "annotations": "an annotation"}.get(kind, "a category")
                what = "has no 'id'" if given is None else f"has the id {given!r}"
                raise DataError(
                    f"{source}: {one} {what}; expected a whole number or a text. It is number {i} "
                    f"(from 0): {str(entries[i])[:200]}"
                )
    if len(set(ids)) != len(ids):
        twice = [id for id, count in Counter(ids).items() if count > 1]
        raise DataError(
            f"{source}: {kind} with the same id: {some(twice)}; expected ids that occur once. "
            "Number them anew"
        )
    return ids


def check_box_modes(annotations: Sequence[Mapping[str, Any]], source: str) -> None:
    """Refuse boxes that say of themselves that they are not x, y, width, height."""
    for annotation in annotations:
        if "bbox_mode" not in annotation:
            continue
        mode = annotation["bbox_mode"]
        if as_integer(mode) != BoxMode.XYWH_ABS:
            raise DataError(
                f"{source}: annotation {annotation.get('id')} has bbox_mode {mode!r}, but in "
                "COCO's format boxes are x, y, width, height (1, XYWH_ABS); write them so "
                "(segsuite.structures.BoxMode.convert), or register a function that returns records"
            )
