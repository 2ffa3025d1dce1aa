"""Files that appear under their names when they are whole, and not at all otherwise.

What is written goes to a temporary file in the same folder, which is brought to the disk and then
renamed: a reader, a kill or a loss of power at any moment finds the old content or the new one.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

_PREFIX = ".tmp-"
_SIDES = ("new", "old")


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, sync: bool = True) -> Iterator[Path]:
    """A file to write in place of `path`, which takes its name when the block ends.

    For what writes to a name rather than to an open file; the suffix is that of `path`. After an
    error the file is removed, and what `path` was before is left as it is. Folders are made.

    ::

        with atomic_path("output/labels.png") as temporary:
            image.save(temporary)

    Args:
        sync: False does not wait for the disk: enough against a kill, not against a loss of power.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for each write: two processes that write one file don't mix their halves.
    temporary = unfinished_name(path)
    try:
        yield temporary
        if sync:
            publish(temporary, path)
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """As `atomic_path` for a folder, which the block makes and fills.

    What `path` was before is removed when the new one is there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    temporary, old = (path.with_name(f"{_PREFIX}{token}-{word}-{path.name}") for word in _SIDES)
    try:
        yield temporary
        # A folder that has something in it can't be replaced in one step.
        if path.exists():
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    finally:
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_file(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Like `open` with `mode` "w" (UTF-8) or "wb"; the file is there when the block has ended.

    ::

        with atomic_file("output/state.pth", "wb") as file:
            torch.save(state, file)
    """
    encoding = None if "b" in mode else "utf-8"
    with atomic_path(path) as temporary, temporary.open(mode, encoding=encoding) as file:
        yield file


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with atomic_file(path) as file:
        file.write(text)


def write_json(
    path: str | os.PathLike[str],
    content: Any,
    *,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
) -> None:
    """Write a JSON file that ends with a line break, whole or not at all.

    Args:
        indent, separators: see `json.dumps`.

    Raises:
        TypeError: `content` holds what JSON does not; nothing is written.
    """
    write_text(path, json.dumps(content, indent=indent, separators=separators) + "\n")


def parse_json(text: str | bytes) -> Any:
    """The value in a JSON text.

    Raises:
        ValueError: it is not JSON, or nested more deeply than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None


def parse_large_json(text: bytes) -> Any:
    """As `parse_json`, several times as fast; whole numbers beyond 64 bits become floats.

    Raises:
        ValueError: as `parse_json`.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return parse_json(text)  # reads NaN as well, and says better what is wrong


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """For what makes many objects that are no garbage, through which Python looks for cycles again
    and again: reading a large JSON file takes a third of the time without."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def unfinished_name(path: Path) -> Path:
    """A new name beside `path` for what is to take its place, or is to be removed from it."""
    return path.with_name(f"{_PREFIX}{secrets.token_hex(4)}-{path.name}")


def publish(temporary: Path, path: Path) -> None:
    """Bring a finished file to the disk and give it its name, in place of what has it."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def publish_folder(temporary: Path, path: Path) -> None:
    """As `publish`, for a folder whose files are on the disk."""
    _sync_folder(temporary)
    remove_folder(path)
    temporary.replace(path)
    _sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder, if there is one, so that half of it is never left under its name."""
    if path.is_dir():
        going = unfinished_name(path)
        path.replace(going)
        shutil.rmtree(going)


def _sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk."""
    if hasattr(os, "O_DIRECTORY"):  # Windows can't open folders
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_unfinished(folder: str | os.PathLike[str], suffix: str = "") -> None:
    """Remove what processes that were killed while they wrote have left in a folder.

    Only for one that has the folder to itself: another's write would fail.

    Args:
        suffix: of the files that were to be written; "": of any.
    """
    for left_over in Path(folder).glob(f"{_PREFIX}*{suffix}"):
        if left_over.is_dir():
            shutil.rmtree(left_over)
        else:
            left_over.unlink(missing_ok=True)
