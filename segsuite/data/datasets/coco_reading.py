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
from urllib.parse import unquote

import numpy as np

from segsuite.errors import DataError, FileAccessError, MissingFileError
from segsuite.structures import BoxMode
from segsuite.structures.polygons import check_mask_size
from segsuite.utils.files import parse_json, parse_large_json

from ..cache.folder import file_state
from ..image import read_image_size
from .coco_faults import Faults, some
from .coco_table import AnnotationRows, AnnotationTable
from .coco_values import Ids, as_id, as_integer, id_order
from .root import PATH_ADVICE

# What LVIS says of images: categories that are not there, and those with objects left out.
LVIS_KEYS = ("neg_category_ids", "not_exhaustive_category_ids")


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
        file_names = _read_file_names(entries, ids, source, root, faults, files)
        sizes = _read_sizes(entries, ids, file_names, source, root, files)
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
        category_names=[
            _name(c, id) for c, id in zip(categories.entries, categories.ids, strict=True)
        ],
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


def _read_file_names(
    images: Sequence[Mapping[str, Any]],
    ids: Sequence[Any],
    source: str,
    root: str | None,
    faults: Faults,
    files: list[str],
) -> list[str]:
    names = []
    other_systems = {}
    for image, id in zip(images, ids, strict=True):
        name = image_name(image)
        if not isinstance(name, str) or not name:
            what = "has no 'file_name'" if not name else f"has the file_name {name!r}"
            raise DataError(f"{source}: image {id} {what}; expected text, the path of the image")
        path = name if root is None else existing_path(root, name)
        if root is not None and is_odd_name(name):
            files.append(path)
            if path != os.path.join(root, name):
                other_systems[name] = path
        names.append(path)
    if other_systems:
        (name, path), *_ = other_systems.items()
        sign = "a backslash" if "\\" in name else "a percent sign (%)"
        faults.notes.append(
            f"{len(other_systems)} images have a file_name with {sign}, as other systems "
            f"write it, and there is no such file: {name!r} is read as {path}"
        )
    return names


def image_name(image: Mapping[str, Any]) -> Any:
    """The name of an image's file, as its entry has it."""
    name = image.get("file_name")
    if name is None and isinstance(image.get("coco_url"), str):
        # LVIS draws from several of COCO's folders: http://.../val2017/000000397133.jpg
        return "/".join(image["coco_url"].rsplit("/", 2)[1:])
    return name


def is_odd_name(name: str) -> bool:
    """Whether another system or a web address may have written a name."""
    return "\\" in name or "%" in name


def existing_path(root: str, name: str) -> str:
    """The path of an image, also where another system or a web address has written its name."""
    path = os.path.join(root, name)
    if not is_odd_name(name) or os.path.exists(path):
        return path
    slashes = name.replace("\\", "/")
    names = (slashes, unquote(name), unquote(slashes))
    candidates = [os.path.join(root, candidate) for candidate in names]
    return next((c for c in candidates if os.path.exists(c)), path)


def _read_sizes(
    images: Sequence[Mapping[str, Any]],
    ids: Sequence[Any],
    file_names: Sequence[str],
    source: str,
    root: str | None,
    files: list[str],
) -> np.ndarray:
    """(I, 2) int64: height and width."""
    sizes = []
    for image, id, file_name in zip(images, ids, file_names, strict=True):
        height, width = image.get("height"), image.get("width")
        if type(height) is not int or type(width) is not int or height <= 0 or width <= 0:
            if height is None or width is None:
                height, width = _size_of_file(id, file_name, source, root)
                files.append(file_name)
            else:
                height = _side(height, "height", id, source)
                width = _side(width, "width", id, source)
        if height * width >= 1 << 31:
            try:
                check_mask_size(height, width)
            except DataError as e:
                raise DataError(f"{source}: image {id}: {e}") from None
        sizes.append((height, width))
    return np.array(sizes, dtype=np.int64).reshape(-1, 2)


def _side(value: Any, key: str, id: Any, source: str) -> int:
    number = as_integer(value)
    if number is None or number <= 0:
        raise DataError(
            f"{source}: image {id} has the {key} {value!r}; expected a whole number of pixels. "
            "Correct it, or remove height and width to have them read from the image"
        )
    return number


def _size_of_file(id: Any, file_name: str, source: str, root: str | None) -> tuple[int, int]:
    where = f"{source}: image {id} has no 'height' and 'width'"
    if root is None:
        raise DataError(f"{where}, and the folder of the images is not known; add them to the file")
    try:
        return read_image_size(file_name)
    except (OSError, DataError) as e:
        raise DataError(f"{where}, so they are read from the image: {e}") from None


def read_image_facts(
    images: Sequence[Mapping[str, Any]], categories: Ids, source: str, faults: Faults
) -> list[dict[str, list[int]]]:
    """What LVIS says about images, with the numbers of categories. Those that are not listed are
    passed over with a warning.

    Raises:
        DataError: it is no list of ids.
    """
    facts: list[dict[str, list[int]]] = []
    unknown: dict[str, None] = {}
    for image in images:
        of_image: dict[str, list[int]] = {}
        for key in LVIS_KEYS:
            if image.get(key) is None:
                continue
            if not isinstance(image[key], list):
                raise DataError(
                    f"{source}: image {image.get('id')} has {key} {image[key]!r:.80}; expected a "
                    "list of the ids of categories"
                )
            found = [categories.find(category)[0] for category in image[key]]
            unknown.update(
                {str(c): None for c, k in zip(image[key], found, strict=True) if k is None}
            )
            of_image[key] = [k for k in found if k is not None]
        facts.append(of_image)
    if unknown:
        faults.notes.append(
            f"{' and '.join(LVIS_KEYS)} name categories that the file does not list: "
            f"{some(list(unknown))}; they are passed over"
        )
    return facts


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
