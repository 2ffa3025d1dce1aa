"""Read label maps."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image

from segsuite.errors import DataError

from .image_files import decode, open_image

IGNORE_LABEL = 255
_SHOWN = 5


def read_sem_seg(
    file_name: str | os.PathLike, label_map: Mapping[int, int] | None = None
) -> np.ndarray:
    """Read a label map: one integer a pixel, in a grey, palette or 16-bit PNG.

    Args:
        label_map: class id (or ignore label) for every value that may be stored; None: the
            stored values are class ids already. Of a palette image the indices count.

    Returns:
        (H, W) uint8, or int32 where values above 255 are stored.

    Raises:
        MissingFileError: there is no such file.
        DataError: damaged, an RGB image, or a stored value that `label_map` does not have.
    """
    with open_image(file_name) as image:
        check_label_mode(image, file_name)
        labels = _read_grey_png(image, file_name)
        if labels is None:
            decode(image, file_name)
            labels = np.asarray(image)
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    elif labels.dtype != np.uint8:
        labels = labels.astype(np.int32)
    return labels if label_map is None else _apply(label_map, labels, file_name)


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


def _read_grey_png(image: Image.Image, file_name: str | os.PathLike) -> np.ndarray | None:
    """(H, W) uint8 of the usual kind of label map, faster than Pillow; None of any other."""
    if image.format != "PNG" or image.mode != "L" or "transparency" in image.info:
        return None
    return cv2.imdecode(np.fromfile(file_name, np.uint8), cv2.IMREAD_GRAYSCALE)


def check_label_mode(image: Image.Image, file_name: str | os.PathLike) -> None:
    """Check that an image may be a label map: one integer a pixel.

    Raises:
        DataError: it has colours.
    """
    if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
        raise DataError(
            f"{file_name} is a {image.mode} image; a label map holds one integer a pixel (a grey "
            "or palette PNG with class ids). If its colours stand for classes, convert it: "
            "segsuite.data.colors_to_labels(read_image(file), colors) turns colours into class ids"
        )


def _apply(
    label_map: Mapping[int, int], labels: np.ndarray, file_name: str | os.PathLike
) -> np.ndarray:
    table, unknown = _lookup_table(tuple(label_map.items()))
    if labels.dtype == np.uint8 and table.dtype == np.uint8:
        mapped = cv2.LUT(labels, table[:256])
    else:
        # The last entry, also number -1, stands for whatever is outside the table.
        mapped = table[labels.astype(np.int32).clip(-1, len(table) - 1)]
    if (mapped == unknown).any():
        counted = zip(*count_values(labels), strict=True)
        outside = [(value, count) for value, count in counted if int(value) not in label_map]
        found = ", ".join(f"{value} ({count} pixels)" for value, count in outside[:_SHOWN])
        if len(outside) > _SHOWN:
            found += f" and {len(outside) - _SHOWN} more"
        raise DataError(
            f"{file_name} holds the value {found}, which the data set's label_map does not have; "
            f"it maps {', '.join(map(str, sorted(label_map)))}. Add the value to label_map, to "
            "the ignore label if it is no class, or fix the file"
        )
    return mapped


@functools.lru_cache(maxsize=16)
def _lookup_table(items: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, int]:
    """The class of each stored value, and the number that stands for none."""
    stored, classes = zip(*items, strict=True)
    unused = sorted(set(range(256)).difference(classes))
    fits = unused and min(classes) >= 0 and max(classes) < 256
    dtype, unknown = (np.uint8, unused[0]) if fits else (np.int32, np.iinfo(np.int32).min)
    table = np.full(max(256, max(stored) + 1) + 1, unknown, dtype)
    table[list(stored)] = classes
    return table, unknown
