"""Where results are kept from one process to the next: which files, for how long, and how many."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segsuite.errors import ConfigError

from .columns import Columns

logger = logging.getLogger(__name__)

_SUFFIX = ".columns"
_OFF = ("off", "0", "false", "no")
# A file system notes a change with a resolution of up to 2 s (FAT), and is most often far better.
# What was changed since may be changed again without a trace.
_SETTLED_NS = 2_000_000_000
_LEFT_OVER_S = 3600


def cache_folder() -> Path | None:
    """SEGSUITE_CACHE, or ``segsuite`` in the user's folder for such files; None: "off".

    That is ``$XDG_CACHE_HOME`` or ``~/.cache``, on macOS ``~/Library/Caches``, on Windows
    ``%LOCALAPPDATA%``.
    """
    named = os.environ.get("SEGSUITE_CACHE", "").strip()
    if named:
        return None if named.lower() in _OFF else Path(named).expanduser()
    if sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        home = "~/Library/Caches"
    else:
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(home).expanduser() / "segsuite"
    return folder if folder.is_absolute() else None  # a user without a home


def cache_limit() -> int:
    """The bytes that the folder may hold: SEGSUITE_CACHE_GB times 10^9, by default 10.

    Raises:
        ConfigError: it is not a number.
    """
    text = os.environ.get("SEGSUITE_CACHE_GB") or "10"
    try:
        return int(float(text) * 1e9)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"SEGSUITE_CACHE_GB is {text!r}; expected a number of gigabytes, such as 10"
        ) from None


def file_state(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """What changes when a file does: size, times of modification and of change, number.

    Raises:
        OSError: there is no such file.
    """
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def is_settled(state: tuple[int, ...], now_ns: int) -> bool:
    """Whether a file that is changed after `now_ns` gets another state for certain.

    Args:
        state: of `file_state`.
        now_ns: `time.time_ns` of a moment before the file was read.
    """
    changed = state[1] if os.name == "nt" else state[2]  # on Windows ctime is that of creation
    return now_ns - changed > _SETTLED_NS


def cached_columns(
    kind: str,
    sources: Sequence[str | os.PathLike[str]],
    arguments: Sequence[Any],
    version: int,
    make: Callable[[], Columns],
) -> Columns:
    """What `make` reads from files, once for all processes as long as the files stay as they are.

    Of files that have been changed in the last two seconds nothing is kept, because they could be
    changed again without a trace. Nor is it where the folder can't be written.

    Args:
        kind: what is read, such as "coco".
        sources: the files, at least one.
        arguments: what else the result depends on; whatever JSON can hold.
        version: of what `make` does. Another one reads anew.
        make: reads. Other files that it looks at are in the facts of its columns under "also", a
            list of path and `file_state`.

    Returns:
        Mapped from the file in `cache_folder`, whose pages all processes share; where it is not
        kept, what `make` gives.

    Raises:
        OSError: there is no such file; and whatever `make` raises.
    """
    now = time.time_ns()
    paths = [os.path.abspath(source) for source in sources]
    states = [file_state(path) for path in paths]
    file = cache_file(kind, paths[0], *arguments)
    key = digest([kind, version, paths, states, arguments])
    columns = _Kept.get((str(file), key)) or load_columns(file, key)
    if columns is None or not _are_unchanged(columns, now):
        columns = make()
        settled = all(is_settled(state, now) for state in states)
        unchanged = [file_state(path) for path in paths] == states
        if not settled or not unchanged or not _are_unchanged(columns, now):
            return columns
        columns = save_columns(file, key, columns)
    _Kept.put((str(file), key), columns)
    return columns


def _are_unchanged(columns: Columns, now_ns: int) -> bool:
    """Whether the other files that were looked at are as they were, and settled then."""
    facts = columns.facts if isinstance(columns.facts, dict) else {}
    try:
        return all(
            file_state(path) == tuple(state) and is_settled(tuple(state), now_ns)
            for path, state in facts.get("also", ())
        )
    except OSError:
        return False


class _Kept:
    """What this process has read last: data sets are asked for again and again."""

    _SIZE = 4
    _columns: dict[tuple[str, str], Columns] = {}

    @classmethod
    def get(cls, key: tuple[str, str]) -> Columns | None:
        return cls._columns.get(key)

    @classmethod
    def put(cls, key: tuple[str, str], columns: Columns) -> None:
        cls._columns.pop(key, None)
        cls._columns[key] = columns
        while len(cls._columns) > cls._SIZE:
            del cls._columns[next(iter(cls._columns))]


def digest(value: Any) -> str:
    """A short text that stands for a value that JSON can hold."""
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()


def cache_file(kind: str, *names: Any) -> Path | None:
    """The file for what is known by `names`, which JSON can hold; None: nothing is kept."""
    folder = cache_folder()
    if folder is None:
        return None
    return folder / kind / f"{digest(names)}{_SUFFIX}"


def load_columns(file: Path | None, key: Any) -> Columns | None:
    """The columns in a file, None where there are none that are sound and made from `key`."""
    if file is None:
        return None
    try:
        columns = Columns.open(file, key)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as e:
        logger.debug("%s is not used: %s", file, e)
        return None
    with contextlib.suppress(OSError):  # of a folder that is only read
        os.utime(file)  # those used longest ago go first when there are too many
    return columns


def save_columns(file: Path | None, key: Any, columns: Columns) -> Columns:
    """Keep columns in a file, and return them mapped from there; where that can't be, `columns`."""
    limit = cache_limit()
    size = sum(array.nbytes for array in columns.values())
    if file is None or size > limit:
        return columns
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        columns.write(file, key)
        _prune(file, limit)
        return Columns.open(file, key)
    except (OSError, ValueError) as e:
        logger.info("%s can't be written, and is done without: %s (see SEGSUITE_CACHE)", file, e)
        return columns


def _prune(newest: Path, limit: int) -> None:
    """Remove the files used longest ago while there is too much, and those of killed processes."""
    now = time.time()
    files = []
    for path in newest.parent.parent.glob("*/*"):
        try:
            status = path.stat()
            if path.name.startswith(".tmp-") and now - status.st_mtime > _LEFT_OVER_S:
                path.unlink()
            elif path.suffix == _SUFFIX:
                files.append((path == newest, status.st_mtime, status.st_size, path))
        except OSError:
            pass  # another process has removed it
    total = sum(size for _, _, size, _ in files)
    for _, _, size, path in sorted(files):
        if total <= limit:
            break
        path.unlink(missing_ok=True)
        total -= size
