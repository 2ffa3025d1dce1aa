"""Results of looking at files, which are remembered until a file changes."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

import segsuite

from .columns import Columns, pack_texts
from .folder import cache_file, digest, file_state, is_settled, load_columns, save_columns

Record = Mapping[str, Any]

_FILES = ("file_name", "sem_seg_file_name", "pan_seg_file_name")
_CHUNK = 256


def read_in_parallel(function: Callable, items: Iterable[Any]) -> Iterator[Any]:
    """``map(function, items)`` on threads, in order: decoding runs outside Python's lock."""
    with ThreadPoolExecutor() as pool:
        yield from pool.map(function, items)


@dataclass
class Remembered:
    """Results for records.

    Attributes:
        results: one for each record.
        num_old: how many of them are from earlier calls.
        since, until: when the first and the last of these were found, in seconds since 1970.
    """

    results: list[Any]
    num_old: int = 0
    since: float = 0.0
    until: float = 0.0

    def when(self) -> str:
        """The day, or the days, on which the old ones were found."""
        first, last = (
            time.strftime("%Y-%m-%d", time.localtime(t)) for t in (self.since, self.until)
        )
        return first if first == last else f"{first} to {last}"


def remember(
    function: functools.partial,
    records: Sequence[Record],
    *,
    of: str,
    version: int,
    keep: Callable[[Any], bool] = lambda result: True,
    anew: bool = False,
) -> Remembered:
    """``function(record)`` for each record, without calling it where an earlier call, in any
    process, has had the same record with the same files, unchanged since.

    A result depends on the record but for its ``annotations``, on its image, its label map and its
    panoptic PNG, and on the keyword arguments of `function`. Of files that have been changed in the
    last two seconds nothing is remembered, because they could be changed again without a trace.

    Args:
        function: a function with keyword arguments. Its results are what JSON can hold.
        of: the name of the data set.
        version: of what the function does. Another one remembers nothing.
        keep: which results are remembered.
        anew: True: call it for all records, and remember what it says now.
    """
    now = time.time()
    units = _units(records, int(now * 1e9))
    settings = [function.func.__module__, function.func.__qualname__, function.keywords]
    key = digest([segsuite.__version__, version, settings])
    folder = os.path.dirname(os.path.abspath(_files(records[0])[0])) if records else ""
    file = cache_file("checked", of, folder, key)
    old = {} if anew else _load(file, key)
    new = [i for i, unit in enumerate(units) if unit not in old]
    found = [old.get(unit, (0.0, None)) if unit else (0.0, None) for unit in units]
    results = [result for _, result in found]
    for i, result in zip(new, read_in_parallel(function, (records[i] for i in new)), strict=True):
        results[i] = result
    kept = {unit: found[i] for i, unit in enumerate(units) if unit in old}
    kept |= {units[i]: (now, results[i]) for i in new if units[i] and keep(results[i])}
    if new or anew:
        _save(file, key, kept)
    times = [found[i][0] for i, unit in enumerate(units) if unit in old] or [0.0]
    return Remembered(results, len(units) - len(new), min(times), max(times))


def _files(record: Record) -> list[str]:
    return [record[name] for name in _FILES if record.get(name) is not None]


def _units(records: Sequence[Record], now_ns: int) -> list[bytes]:
    """For each record 16 bytes that stand for it and its files as they are; empty where they could
    change without a trace, or can't be told."""
    starts = range(0, len(records), _CHUNK)
    chunks = [records[start : start + _CHUNK] for start in starts]
    of_chunk = functools.partial(_units_of_chunk, now_ns=now_ns)
    return [unit for units in read_in_parallel(of_chunk, chunks) for unit in units]


def _units_of_chunk(records: Sequence[Record], now_ns: int) -> list[bytes]:
    return [_unit(record, now_ns) for record in records]


def _unit(record: Record, now_ns: int) -> bytes:
    try:
        states = [file_state(path) for path in _files(record)]
        facts = {key: value for key, value in record.items() if key != "annotations"}
        text = json.dumps([os.getcwd(), states, facts])
    except (OSError, TypeError, ValueError):
        return b""
    if not all(is_settled(state, now_ns) for state in states):
        return b""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _load(file: Any, key: str) -> dict[bytes, tuple[float, Any]]:
    columns = load_columns(file, key)
    if columns is None:
        return {}
    units, starts, texts = (columns[name] for name in ("units", "results.starts", "results"))
    values = texts.tobytes()
    bounds = zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    results = [json.loads(values[begin:end]) for begin, end in bounds]
    rows = zip(columns["times"].tolist(), results, strict=True)
    return dict(zip(map(bytes, units.reshape(-1, 16)), rows, strict=True))


def _save(file: Any, key: str, results: Mapping[bytes, tuple[float, Any]]) -> None:
    starts, texts = pack_texts([json.dumps(result).encode() for _, result in results.values()])
    columns: dict[str, np.ndarray] = {
        "units": np.frombuffer(b"".join(results), np.uint8).reshape(-1, 16),
        "times": np.array([when for when, _ in results.values()], np.float64),
        "results.starts": starts,
        "results": texts,
    }
    save_columns(file, key, Columns(columns))
