"""The images of a file in COCO's format: names, sizes, and what LVIS says of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segsuite.errors import DataError
from segsuite.structures.polygons import check_mask_size

from ..image import read_image_size
from .coco_faults import Faults, some
from .coco_values import Ids, as_integer
from .image_paths import existing_path, is_odd_name

# What LVIS says of images: categories that are not there, and those with objects left out.
LVIS_KEYS = ("neg_category_ids", "not_exhaustive_category_ids")


def read_file_names(
    images: Sequence[Mapping[str, Any]],
    ids: Sequence[Any],
    source: str,
    root: str | None,
    faults: Faults,
    files: list[str],
) -> list[str]:
    names = []
    others: dict[str, str] = {}
    for image, id in zip(images, ids, strict=True):
        name = image_name(image)
        if not isinstance(name, str) or not name:
            what = "has no 'file_name'" if not name else f"has the file_name {name!r}"
            raise DataError(f"{source}: image {id} {what}; expected text, the path of the image")
        path = name if root is None else existing_path(root, name)
        if root is not None and is_odd_name(name):
            files.append(path)
            if path != os.path.join(root, name):
                others[name] = path
        names.append(path)
    if others:
        _check_distinct(others, names, source)
        (name, path), *_ = others.items()
        faults.notes.append(
            f"{len(others)} images have a file_name {_what_is_odd(name)}, and there is no such "
            f"file: {name!r} is read as {path}"
        )
    return names


def _what_is_odd(name: str) -> str:
    if "\\" in name:
        return "with a backslash, as other systems write it"
    if "%" in name:
        return "with a percent sign (%), as other systems write it"
    return "with the folders of another computer"


def _check_distinct(others: Mapping[str, str], names: Sequence[str], source: str) -> None:
    """Refuse names of another computer that would become one image here."""
    count = Counter(names)
    for name, path in others.items():
        if count[path] > 1:
            raise DataError(
                f"{source}: there is no file {name!r}, and its last parts are those of {path}, "
                "which is another image's too; write names that start from the folder of the images"
            )


def image_name(image: Mapping[str, Any]) -> Any:
    """The name of an image's file, as its entry has it."""
    name = image.get("file_name")
    if name is None and isinstance(image.get("coco_url"), str):
        # LVIS draws from several of COCO's folders: http://.../val2017/000000397133.jpg
        return "/".join(image["coco_url"].rsplit("/", 2)[1:])
    return name


def read_sizes(
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
