"""`PackedRecords`: the records of a data set in memory that worker processes share."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np


class PackedRecords(Sequence[dict[str, Any]]):
    """A sequence of records, each pickled, in one array.

    A list of dicts is copied little by little into each process forked from its owner: reading an
    object counts its references, which writes to its page. COCO's annotations take gigabytes in
    each worker so. One array is never written to; a record is made anew each time it is asked for.
    """

    def __init__(self, records: Iterable[dict[str, Any]]) -> None:
        pickled = [pickle.dumps(record, pickle.HIGHEST_PROTOCOL) for record in records]
        self._ends = np.cumsum([len(p) for p in pickled], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(pickled), np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        index %= len(self)
        start = self._ends[index - 1] if index else 0
        return pickle.loads(self._bytes[start : self._ends[index]].data)
