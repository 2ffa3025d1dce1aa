"""Long JSON lists, a few values at a time."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from .files import parse_json

# What is parsed at a time: it stays in the processor's cache, which takes half of the time that a
# file as a whole does.
_BLOCK = 1 << 16
_TRIES = 8


def read_json_list(path: str | os.PathLike[str], *, exact: bool = True) -> Iterator[list[Any]]:
    """The values of a JSON file that holds a list, in their order, a few at a time.

    Args:
        exact: False: three times as fast; whole numbers beyond 64 bits become floats.

    Raises:
        OSError: the file can't be read.
        ValueError: it is not JSON, or nested more deeply than Python reads.
        TypeError: it holds another value than a list.
    """
    done = 0
    with Path(path).open("rb") as file:
        text = file.read(_BLOCK).removeprefix(codecs.BOM_UTF8).lstrip()
        # UTF-16 and UTF-32 have zeros; they, and what is no list, are read as a whole.
        open_list = text.startswith(b"[") and b"\0" not in text
        text = text[1:]
        while open_list:
            more = file.read(max(_BLOCK, len(text)))
            if not more:
                break
            text += more
            values, text = _take(text, exact)
            done += len(values)
            if values:
                yield values
    if open_list:
        rest = _parse(b"[" + text, exact)
        if rest is not None:
            yield rest
            return
    # Its error is that of the file as a whole, wherever the fault is.
    whole = parse_json(Path(path).read_bytes().removeprefix(codecs.BOM_UTF8))
    if not isinstance(whole, list):
        raise TypeError(f"expected a list, got {type(whole).__name__}")
    yield whole[done:]


def _take(text: bytes, exact: bool) -> tuple[list[Any], bytes]:
    """The values that are whole at the start of the rest of a list, and what follows them.

    A cut between an object and a comma is one between two values of the list, not inside of one or
    of a text, exactly if what stands before it is JSON. There may be no such cut.
    """
    end = len(text)
    for _ in range(_TRIES):
        end = text.rfind(b"},", 0, end)
        if end < 0:
            break
        if not text[end + 2 : end + 66].lstrip().startswith(b"{"):
            continue
        values = _parse(b"[" + text[: end + 1] + b"]", exact)
        if values is not None:
            return values, text[end + 2 :]
    return [], text


def _parse(text: bytes, exact: bool) -> list[Any] | None:
    """The values of a list; None where it is not JSON."""
    if not exact:
        with contextlib.suppress(orjson.JSONDecodeError):
            values: list[Any] = orjson.loads(text)
            return values
    try:  # also what only Python reads, such as NaN
        values = json.loads(text)
    except (RecursionError, ValueError):
        return None
    return values
