"""Images and label maps in files of NumPy, ``.npy`` and ``.npz``. Pickles are never loaded."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import numpy as np

from segsuite.errors import DataError

from .damaged import damaged

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
# What the arrays of a file with several are called: that which is an image, or a label map.
IMAGE_NAMES = ("image", "images", "img")
LABEL_NAMES = ("label", "labels", "mask")


def is_array_file(start: bytes) -> bool:
    """Whether the first bytes of a file are those of NumPy's formats."""
    return start.startswith((_NPY, _ZIP))


def read_array_header(
    file: IO[bytes], name: object, wanted: Sequence[str] = IMAGE_NAMES
) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the array in a file, without reading it.

    Args:
        file: of such a format.
        name: for messages.
        wanted: names of the array that is meant, where a ``.npz`` has several.

    Raises:
        DataError: damaged, no array of numbers, or several of which none is wanted.
    """
    with _array_stream(file, name, wanted) as stream:
        shape, dtype = _header(stream, name)
        if stream is file:
            start = stream.tell()
            needed = start + int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
            size = stream.seek(0, os.SEEK_END)
            if size < needed:
                raise damaged(name, f"it has {size} bytes of {needed}")
    return shape, dtype


def read_array(file: IO[bytes], name: object, wanted: Sequence[str] = IMAGE_NAMES) -> np.ndarray:
    """The array in a file, in this machine's order of bytes; see `read_array_header`."""
    _, dtype = read_array_header(file, name, wanted)
    with _array_stream(file, name, wanted) as stream:
        try:
            array = np.lib.format.read_array(stream, allow_pickle=False)
        except (ValueError, EOFError, OSError, zlib.error, zipfile.BadZipFile) as e:
            raise damaged(name, e) from None
    return array.astype(dtype.newbyteorder("="), copy=False)


def without_ones(shape: Sequence[int], axes: int = 3) -> tuple[int, ...]:
    """A shape without those of length 1 of its axes that are too many."""
    kept = list(shape)
    while len(kept) > axes and 1 in kept:
        kept.remove(1)
    return tuple(kept)


def band_axis(shape: Sequence[int], name: object, expected: int | None = None) -> int | None:
    """Where the bands of an array (H, W), (H, W, C) or (C, H, W) are; None for (H, W).

    They are the axis that has as many as are `expected`, where only one of the two has; else the
    shorter one, the last if they are equal.

    Raises:
        DataError: another number of axes, or nothing in one.
    """
    if len(shape) == 2 and min(shape) > 0:
        return None
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(
            f"{name} is an array of shape {tuple(shape)}; expected an image (height, width), "
            "(height, width, bands) or (bands, height, width)"
        )
    first, last = shape[0] == expected, shape[2] == expected
    if first != last:
        return 0 if first else 2
    return 0 if shape[0] < shape[2] else 2


@contextmanager
def _array_stream(file: IO[bytes], name: object, wanted: Sequence[str]) -> Iterator[IO[bytes]]:
    """The bytes of the array that is meant, as ``.npy`` has them."""
    file.seek(0)
    if file.read(len(_ZIP)) != _ZIP:
        file.seek(0)
        yield file
        return
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as e:
        raise damaged(name, e) from None
    with archive:
        arrays = {n.removesuffix(".npy"): n for n in archive.namelist() if n.endswith(".npy")}
        chosen = list(arrays) if len(arrays) == 1 else [n for n in arrays if n in wanted]
        if len(chosen) != 1:
            found = ", ".join(arrays) or "none"
            raise DataError(
                f"{name} has {len(arrays)} arrays ({found}); expected one, or one that is called "
                f"{' or '.join(wanted)}"
            )
        with archive.open(arrays[chosen[0]]) as stream:
            yield stream


def _header(stream: IO[bytes], name: object) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
    except Exception as e:  # whatever NumPy's parser meets in a damaged header
        raise damaged(name, e) from None
    if dtype.kind not in "buif":
        what = (
            "Python objects, which are not loaded: a file could run code by them"
            if dtype.hasobject
            else f"values of type {dtype}"
        )
        raise DataError(
            f"{name} holds {what}; expected an array of integers, real numbers or booleans"
        )
    return shape, dtype
