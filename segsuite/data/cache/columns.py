"""Arrays by name in one file, which is mapped into memory and shared by all that open it.

::

    16 bytes    the name of the format
     4 bytes    length of the header
     4 bytes    CRC-32 of the header
    header      JSON: key, facts, CRC-32 of the arrays; name, type and shape of each array
    arrays      little-endian, each at a multiple of 64 bytes, with zeros between

Nothing in it is code: a file can hold wrong numbers at worst, never objects to be unpickled. One
that is cut short, overwritten in part, or another program's is refused.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from segsuite.utils.files import atomic_path

_MAGIC = b"segsuite columns"
_LENGTHS = struct.Struct("<II")
_ALIGNMENT = 64
_BUFFER = 1 << 20
_SLICE = 64  # values, whose places take as long to find as a slice of an array does
_KINDS = "biuf"  # of NumPy's types: flags and numbers


class Columns(Mapping[str, np.ndarray]):
    """Read-only arrays by name.

    Pickled, those of a file are its path, and are mapped again where they are unpickled; others are
    copied.

    Args:
        arrays: of numbers or flags.
        facts: whatever JSON can hold.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], facts: Any = None) -> None:
        self._arrays: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            array = np.ascontiguousarray(array)
            if array.dtype.kind not in _KINDS:
                raise TypeError(f"column '{name}' is of {array.dtype}; expected numbers")
            array = array.astype(array.dtype.newbyteorder("<"), copy=False).view()
            array.flags.writeable = False
            self._arrays[name] = array
        self.facts = facts
        self._file: tuple[str, int] | None = None

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        arrays = ", ".join(f"{name}: {a.dtype}{list(a.shape)}" for name, a in self.items())
        return f"Columns({arrays})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._file is not None:
            return _open_again, self._file
        return Columns, (self._arrays, self.facts)

    def write(self, path: str | os.PathLike[str], key: Any) -> None:
        """Write a file, whole or not at all.

        Args:
            key: what the arrays were made from; whatever JSON can hold.
        """
        crc, size, table = 0, 0, []
        for name, array in self.items():
            crc = zlib.crc32(_padding(size), crc)
            crc = zlib.crc32(_bytes(array), crc)
            size = _aligned(size) + array.nbytes
            table.append([name, array.dtype.str, list(array.shape)])
        header = {"key": key, "facts": self.facts, "crc": crc, "size": size, "arrays": table}
        text = json.dumps(header).encode()
        start = _MAGIC + _LENGTHS.pack(len(text), zlib.crc32(text)) + text
        # What a loss of power leaves is found by its checksum: the disk is not waited for.
        with atomic_path(path, sync=False) as temporary, temporary.open("wb") as file:
            file.write(start + _padding(len(start)))
            size = 0
            for array in self.values():
                file.write(_padding(size))
                file.write(_bytes(array))
                size = _aligned(size) + array.nbytes

    @classmethod
    def open(cls, path: str | os.PathLike[str], key: Any) -> Columns:
        """Map a file that `write` has written. What it holds is read through once.

        Raises:
            OSError: there is none, or it can't be read.
            ValueError: it is damaged, none of these, or made from something else than `key`.
        """
        mapped, header, start = _map(path)
        if header["key"] != json.loads(json.dumps(key)):
            raise ValueError(f"{path} is made from something else")
        if _checksum(path, start) != header["crc"]:
            raise ValueError(f"{path} is damaged")
        return cls._mapped(path, mapped, header, start)

    @classmethod
    def _mapped(
        cls, path: str | os.PathLike[str], mapped: mmap.mmap, header: dict[str, Any], start: int
    ) -> Columns:
        arrays = {}
        place = start
        for name, kind, shape in header["arrays"]:
            dtype = np.dtype(kind)
            count = math.prod(shape)
            # Views of the file; NumPy has none of nothing.
            flat = np.frombuffer(mapped, dtype, count, place) if count else np.empty(0, dtype)
            arrays[name] = flat.reshape(shape)
            place = start + _aligned(place - start + flat.nbytes)
        columns = cls(arrays, header["facts"])
        columns._file = (os.path.abspath(path), header["crc"])
        return columns


def _map(path: str | os.PathLike[str]) -> tuple[mmap.mmap, dict[str, Any], int]:
    """The bytes of a file, its header, and where the arrays begin."""
    with open(path, "rb") as file:
        start = file.read(len(_MAGIC) + _LENGTHS.size)
        if len(start) < len(_MAGIC) + _LENGTHS.size or not start.startswith(_MAGIC):
            raise ValueError(f"{path} is no file of columns")
        length, crc = _LENGTHS.unpack(start[len(_MAGIC) :])
        text = file.read(length)
        if len(text) != length or zlib.crc32(text) != crc:
            raise ValueError(f"{path} is damaged")
        header = json.loads(text)
        begin = _aligned(len(start) + length)
        if os.fstat(file.fileno()).st_size != begin + header["size"]:
            raise ValueError(f"{path} is cut short")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), header, begin


def _checksum(path: str | os.PathLike[str], start: int) -> int:
    """That of the arrays, read past the mapping, whose pages would all count as this process's."""
    crc, buffer = 0, memoryview(bytearray(_BUFFER))
    with open(path, "rb", buffering=0) as file:
        file.seek(start)
        while length := file.readinto(buffer):
            crc = zlib.crc32(buffer[:length], crc)
    return crc


def _open_again(path: str, crc: int) -> Columns:
    """In a process that was given what another one has read through."""
    mapped, header, start = _map(path)
    if header["crc"] != crc:
        raise ValueError(
            f"{path} has been written anew since this process was given it: the data changed while "
            "the program was starting. Start it again"
        )
    return Columns._mapped(path, mapped, header, start)


def _bytes(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _padding(size: int) -> bytes:
    return bytes(_aligned(size) - size)


def pack_texts(texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Texts of any length as two columns: (n + 1,) int64 places where they begin and end, and their
    bytes, one after the other."""
    return starts_of([len(text) for text in texts]), np.frombuffer(b"".join(texts), np.uint8)


def starts_of(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Where parts of these lengths begin that lie one after the other, and where the last ends."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def take_parts(
    starts: np.ndarray, values: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Parts of `values` that lie one after the other, in another order, or some of them.

    Args:
        starts: (n + 1,) where each begins and the last ends.
        order: (m,) numbers of the parts.

    Returns:
        The new `starts`, (m + 1,), and the new values.
    """
    lengths = np.diff(starts)[order]
    new = starts_of(lengths)
    # Parts that stay neighbours are taken together: in files that go by images most are.
    breaks = np.flatnonzero(np.diff(order) != 1) + 1
    if len(order) and _SLICE * len(breaks) <= new[-1]:
        first, last = order[np.append(0, breaks)], order[np.append(breaks, len(order)) - 1]
        bounds = zip(starts[first].tolist(), starts[last + 1].tolist(), strict=True)
        return new, np.concatenate([values[begin:end] for begin, end in bounds])
    places = np.arange(new[-1])
    places += np.repeat(starts[order] - new[:-1], lengths)
    return new, values[places]
