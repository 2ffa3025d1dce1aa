"""`PackedRecords`: a list of records in memory that worker processes share."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any

import numpy as np

from .cache.columns import starts_of
from .records import RecordSequence


class PackedRecords(RecordSequence):
    """Records of any content, each pickled, in one array."""

    def __init__(self, records: Iterable[dict[str, Any]]) -> None:
        pickled = [pickle.dumps(record, pickle.HIGHEST_PROTOCOL) for record in records]
        starts = starts_of([len(p) for p in pickled])
        self._begins, self._ends = starts[:-1], starts[1:]
        self._bytes = np.frombuffer(b"".join(pickled), np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    def record(self, index: int) -> dict[str, Any]:
        return pickle.loads(self._bytes[self._begins[index] : self._ends[index]].data)

    def select(self, indices: np.ndarray) -> PackedRecords:
        chosen = PackedRecords([])
        chosen._begins, chosen._ends = self._begins[indices], self._ends[indices]
        chosen._bytes = self._bytes
        return chosen
