"""Read label maps."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

from segsuite.errors import DataError

from .image_files import read_header
from .label_files import read_stored_labels

IGNORE_LABEL = 255
_SHOWN = 5


def read_sem_seg(
    file_name: str | os.PathLike, label_map: Mapping[int, int] | None = None
) -> np.ndarray:
    """Read a label map: one integer a pixel, in any format that keeps them.

    That is a PNG, grey of 1 to 16 bits or with a palette, of which the indices count; a TIFF of
    integers, or of real numbers that are whole; or an array of NumPy.

    Args:
        label_map: class id (or ignore label) for every value that may be stored, of any size and
            sign; None: the stored values are class ids already.

    Returns:
        (H, W) uint8, or int32 (int64 for what does not fit) where the type of the stored values, or
        `label_map`, has others than 0 to 255.

    Raises:
        MissingFileError: there is no such file.
        DataError: damaged, an RGB image, a format that changes values, numbers that are not whole,
            several pages, or a stored value that `label_map` does not have.
    """
    labels = read_stored_labels(file_name)
    if label_map is not None:
        return _apply(label_map, labels, file_name)
    return labels if labels.dtype == np.uint8 else _shortened(labels)


def _shortened(labels: np.ndarray) -> np.ndarray:
    """Integers as int32, or as int64 where they do not fit."""
    fits = np.can_cast(labels.dtype, np.int32) or _fit(labels, np.iinfo(np.int32))
    return labels.astype(np.int32 if fits else np.int64)


def _fit(labels: np.ndarray, info: np.iinfo) -> bool:
    return not labels.size or bool(labels.min() >= info.min and labels.max() <= info.max)


def count_values(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values in an integer array, ascending, and how often each occurs."""
    if labels.dtype != np.uint8:
        return np.unique(labels, return_counts=True)
    counts = np.bincount(labels.ravel(), minlength=256)
    values = np.flatnonzero(counts)
    return values, counts[values]


def colors_to_labels(image: np.ndarray, colors: Mapping[tuple[int, int, int], int]) -> np.ndarray:
    """Turn a label map that is drawn in colours into one of class ids.

    Args:
        image: (H, W, 3) uint8 RGB, as `read_image` gives it.
        colors: class id, 0 to 255, by RGB colour.

    Returns:
        (H, W) uint8, to be written as a PNG file.

    Raises:
        DataError: a colour that is not in `colors`, with the number of its pixels.
    """
    keys = np.array([r << 16 | g << 8 | b for r, g, b in colors])
    order = np.argsort(keys)
    pixels = image.astype(np.int64) @ [1 << 16, 1 << 8, 1]
    nearest = order[np.searchsorted(keys, pixels, sorter=order).clip(max=len(keys) - 1)]
    unknown = pixels[keys[nearest] != pixels]
    if len(unknown):
        found, counts = np.unique(unknown, return_counts=True)
        most = counts.argmax()
        color = tuple(int(found[most]) >> shift & 255 for shift in (16, 8, 0))
        raise DataError(
            f"{len(found)} colours stand for no class, above all {color} ({counts[most]} pixels); "
            "add them to `colors`, and use lossless files, not JPEG"
        )
    return np.array(list(colors.values()), dtype=np.uint8)[nearest]


def _apply(
    label_map: Mapping[int, int], labels: np.ndarray, file_name: str | os.PathLike
) -> np.ndarray:
    if not label_map:
        raise DataError(
            f"{file_name}: the data set's label_map is empty; give it every stored value"
        )
    stored = tuple(label_map.items())
    if labels.dtype in (np.uint8, np.uint16):
        table, unknown = _lookup_table(stored, np.iinfo(labels.dtype).max + 1)
        is_small = labels.dtype == np.uint8 and table.dtype == np.uint8
        mapped = cv2.LUT(labels, table) if is_small else table[labels]
    else:
        mapped, unknown = _look_up(stored, labels)
    if (mapped == unknown).any():
        counted = zip(*count_values(labels), strict=True)
        outside = [(value, count) for value, count in counted if int(value) not in label_map]
        found = ", ".join(f"{value} ({count} pixels)" for value, count in outside[:_SHOWN])
        if len(outside) > _SHOWN:
            found += f" and {len(outside) - _SHOWN} more"
        found += no_data_note(file_name, [value for value, _ in outside])
        raise DataError(
            f"{file_name} holds the value {found}, which the data set's label_map does not have; "
            f"it maps {', '.join(map(str, sorted(label_map)))}. Add the value to label_map, to "
            "the ignore label if it is no class, or fix the file"
        )
    return mapped


def no_data_note(file_name: str | os.PathLike, values: Iterable[int]) -> str:
    """What to say where one of the values of a label map is that which its file calls no data."""
    try:
        no_data = read_header(file_name).no_data
    except DataError:  # an array that is called as label maps are, not as images
        return ""
    if no_data is None or no_data not in list(values):
        return ""
    return f" ({no_data:g} is what the file calls no data)"


@functools.lru_cache(maxsize=16)
def _lookup_table(items: tuple[tuple[int, int], ...], size: int) -> tuple[np.ndarray, int]:
    """The class of each stored value below `size`, and the number that stands for none."""
    dtype, unknown = _type_of_classes([label for _, label in items])
    table = np.full(size, unknown, dtype)
    for value, label in items:
        if 0 <= value < size:
            table[value] = label
    return table, unknown


def _look_up(items: tuple[tuple[int, int], ...], labels: np.ndarray) -> tuple[np.ndarray, int]:
    """The classes of stored values of any size and sign, and the number that stands for none."""
    info = np.iinfo(labels.dtype)
    possible = sorted(item for item in items if info.min <= item[0] <= info.max)
    dtype, unknown = _type_of_classes([label for _, label in items])
    if not possible:
        return np.full(labels.shape, unknown, dtype), unknown
    stored = np.array([value for value, _ in possible], labels.dtype)
    classes = np.array([label for _, label in possible], dtype)
    nearest = np.searchsorted(stored, labels).clip(max=len(stored) - 1)
    return np.where(stored[nearest] == labels, classes[nearest], dtype(unknown)), unknown


def _type_of_classes(classes: Sequence[int]) -> tuple[type[np.integer], int]:
    unused = sorted(set(range(256)).difference(classes))
    if unused and min(classes) >= 0 and max(classes) < 256:
        return np.uint8, unused[0]
    return np.int32, int(np.iinfo(np.int32).min)
