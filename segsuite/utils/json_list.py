"""Long JSON lists, and objects that hold such, a few values at a time."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from .files import parse_json

# What is parsed at a time: it stays in the processor's cache, which takes half of the time that a
# file as a whole does.
_BLOCK = 1 << 16
_TRIES = 8
# `split_json` stops where a value is longer than so many blocks.
_MOST_BLOCKS = 64

_SPACE = rb"[ \t\n\r]*"
_KEY = re.compile(_SPACE + rb'"([^"\\]*)"' + _SPACE + rb":" + _SPACE)
_NEXT = re.compile(_SPACE + rb"([,}])" + _SPACE)
_LIST_END = re.compile(rb"\}" + _SPACE + rb"\]")
_CUT = re.compile(rb"\}," + _SPACE + rb"\{")
_PLAIN = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\s,{}\[\]"]+')


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


def split_json(text: bytes) -> Iterator[tuple[str, Any]]:
    """The entries of a JSON object: keys and values, of a list of objects a few at a time.

    Parts stay in the processor's cache while they are parsed and read, and their memory is used
    again: it takes a third of the time that the whole does, and a fraction of the memory. Whole
    numbers beyond 64 bits become floats.

    Raises:
        ValueError: the text is no JSON object, or one that can't be taken apart so, with a key that
            comes twice, for instance.
    """
    place = len(text) - len(text.lstrip(b" \t\n\r"))
    if text[place : place + 1] != b"{":
        raise ValueError("not an object")
    place += 1
    keys = set()
    while True:
        found = _KEY.match(text, place)
        key = found[1].decode() if found else ""
        if found is None or key in keys:
            raise ValueError("a key that can't be read, or comes twice")
        keys.add(key)
        place = found.end()
        for values, end in _values_at(text, place):
            yield key, values
            place = end
        found = _NEXT.match(text, place)
        if found is None:
            raise ValueError("neither a comma nor the end follows a value")
        place = found.end()
        if found[1] == b"}":
            if place != len(text):
                raise ValueError("something follows the object")
            return


def _values_at(text: bytes, place: int) -> Iterator[tuple[Any, int]]:
    """The value that begins at a place, or parts of a list, and where it, or the part, ends."""
    first = text[place : place + 1]
    if first == b"[":
        start = _skip_space(text, place + 1)
        if text[start : start + 1] == b"{":
            yield from _objects_at(text, start)
            return
        ends = re.finditer(rb"\]", text[place : place + _BLOCK])
    elif first == b"{":
        ends = re.finditer(rb"\}", text[place : place + _BLOCK])
    else:
        ends = iter(filter(None, [_PLAIN.match(text[place : place + _BLOCK])]))
    for found in islice(ends, _MOST_BLOCKS):
        with contextlib.suppress(orjson.JSONDecodeError):
            value = orjson.loads(text[place : place + found.end()])
            yield value, place + found.end()
            return
    raise ValueError("a value that can't be taken out")


def _objects_at(text: bytes, place: int) -> Iterator[tuple[list[Any], int]]:
    """The objects of a list of which the next one begins at a place, and where what follows them
    begins: the next object, or what comes after the list.

    A cut is right exactly if what is before it is JSON, see `_take`; so is the end of the list.
    """
    size = _BLOCK
    while size <= _BLOCK * _MOST_BLOCKS:
        part = text[place : place + size]
        cut = len(part)
        for _ in range(_TRIES):
            cut = part.rfind(b"},", 0, cut)
            if cut < 0:
                break
            between = _CUT.match(text, place + cut)
            if between is None:
                continue
            values = _parse(b"[" + part[: cut + 1] + b"]", exact=False)
            if values is not None:
                place, size = between.end() - 1, _BLOCK
                yield values, place
                break
        else:
            cut = -1
        if cut >= 0:
            continue
        for end in islice(_LIST_END.finditer(part), _TRIES):
            values = _parse(b"[" + part[: end.end()], exact=False)
            if values is not None:
                yield values, place + end.end()
                return
        size *= 2
    raise ValueError("a list whose end is not found")


def _skip_space(text: bytes, place: int) -> int:
    found = re.compile(_SPACE).match(text, place)
    return found.end() if found else place
