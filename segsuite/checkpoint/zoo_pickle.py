"""A reader for pickled dicts of NumPy arrays, the files of Detectron2's model zoo.

A pickle is a program: it may call whatever it can name. Here it can name only the classes below,
which hold what NumPy's own would be given, and no NumPy. Arrays become tensors from that.
"""

from __future__ import annotations

import collections
import math
import pickle
from typing import Any, BinaryIO

import torch

from segsuite.errors import WeightsError

from .extent import max_bytes

# NumPy's type codes: kind and bytes per element.
_DTYPES = {
    "b1": torch.bool,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
}


class _Dtype:
    """numpy.dtype: made from a type code, then given a state whose entry 1 is the byte order."""

    def __init__(self, code: str, *_: Any):
        if code not in _DTYPES:
            raise WeightsError(f"it holds an array of type '{code}'")
        self.dtype = _DTYPES[code]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] == ">":
            raise WeightsError("it holds an array of big-endian numbers")


class _Array:
    """numpy.ndarray: made empty by `_reconstruct`, then given its state."""

    def __init__(self, *_: Any):
        self.content: tuple[Any, ...] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran_order, data = state
        self.content = data, dtype, shape, "F" if fortran_order else "C"


class _FromBuffer(_Array):
    """numpy's `_frombuffer`, which pickle protocol 5 calls for an array."""

    def __init__(self, data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str):
        self.content = data, dtype, shape, order


class _Scalar(_Array):
    """numpy's `scalar`, which makes a number such as numpy.float32(1)."""

    def __init__(self, dtype: _Dtype, data: bytes):
        self.content = data, dtype, (), "C"


class _Bytes:
    """`_codecs.encode` or, for none, `bytes`: how Python 3 writes bytes for Python 2 to read. They
    stay text, of which nothing has to be copied."""

    # What is made is no object of this class, which Python allows and mypy does not.
    def __new__(cls, text: str = "", encoding: str = "latin1") -> str:  # type: ignore[misc]
        if encoding != "latin1":
            raise WeightsError(f"it asks for the encoding '{encoding}'")
        return text

    def __setstate__(self, _: Any) -> None:
        raise WeightsError("it sets attributes of a class")


_ADMITTED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): _Bytes,
    ("__builtin__", "bytes"): _Bytes,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}
for _core in ("numpy.core", "numpy._core"):  # before and since NumPy 2
    _ADMITTED[f"{_core}.multiarray", "_reconstruct"] = _Array
    _ADMITTED[f"{_core}.multiarray", "scalar"] = _Scalar
    _ADMITTED[f"{_core}.numeric", "_frombuffer"] = _FromBuffer


# The unpickler in Python: the one in C allocates as many entries as a damaged index says.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"unsupported GLOBAL {module}.{name}")
        return _ADMITTED[module, name]


def read_zoo_pickle(file: BinaryIO) -> Any:
    """The object pickled in `file`, its NumPy arrays and numbers as tensors. No code of it runs.

    Raises:
        pickle.UnpicklingError: it names anything but NumPy arrays ("unsupported GLOBAL <name>").
        Exception: of many kinds, if the file is damaged.
    """
    # Strings of Python 2 are bytes; latin1 keeps their values.
    value = _Unpickler(file, encoding="latin1").load()
    return _Tensors(max_bytes(file.tell())).of(value)


def _tensor(data: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> torch.Tensor:
    if isinstance(data, str):
        data = data.encode("latin1")
    if not (isinstance(shape, tuple) and all(type(edge) is int for edge in shape)):
        raise WeightsError("it holds an array whose shape is none")
    if len(data) != math.prod(shape) * dtype.dtype.itemsize:
        raise WeightsError(f"it holds {len(data)} bytes for an array of shape {shape}")
    if not data:
        return torch.empty(shape, dtype=dtype.dtype)
    flat = torch.frombuffer(bytearray(data), dtype=dtype.dtype)
    if order == "F":
        return flat.reshape(shape[::-1]).permute(*range(len(shape))[::-1]).contiguous()
    return flat.reshape(shape)


class _Tensors:
    """Puts tensors in the place of arrays, in dicts, lists and tuples of any depth.

    Each object is converted once, however often others hold it: few bytes can make very many paths.

    Args:
        max_bytes: of all tensors.
    """

    def __init__(self, max_bytes: int):
        self._left = max_bytes
        self._done: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        if not isinstance(value, (_Array, dict, list, tuple)):
            return value
        if id(value) not in self._done:
            self._done[id(value)] = _UNDER_WAY
            self._done[id(value)] = self._converted(value)
        if self._done[id(value)] is _UNDER_WAY:
            raise WeightsError("it holds itself")
        return self._done[id(value)]

    def _converted(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
        if not isinstance(value, _Array):
            return type(value)(map(self.of, value))
        if value.content is None:
            return torch.empty(0)
        # Arrays may name the same bytes; each tensor has a copy.
        self._left -= len(value.content[0])
        if self._left < 0:
            raise WeightsError("its arrays are far larger than the file")
        return _tensor(*value.content)


_UNDER_WAY = object()
