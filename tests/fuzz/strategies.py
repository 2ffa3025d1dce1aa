"""Hypothesis strategies: documents with something changed, files with something damaged."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, -1, 1, 2, 100, 2**31, 2**53, 3e8, math.nan, math.inf, -math.inf]),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """The containers in a document of JSON's, each with the key or index of one thing in it."""
    if isinstance(document, dict):
        keys: Any = document.keys()
    elif isinstance(document, list):
        keys = range(len(document))
    else:
        return
    for key in keys:
        yield document, key
        yield from places(document[key])


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """The document with up to three things replaced, left out or there twice."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from([*places(document)] or [({"": 0}, "")]))
        how = draw(st.sampled_from(["replace", "replace", "replace", "remove", "repeat"]))
        if how == "replace":
            container[key] = draw(VALUES)
        elif how == "remove":
            del container[key]
        elif isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
    return document


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes with some replaced, left out, added, or cut off at the end."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        how = draw(st.sampled_from(["replace", "replace", "remove", "insert", "cut"]))
        piece = draw(st.binary(min_size=1, max_size=8))
        if how == "replace":
            data[start : start + len(piece)] = piece
        elif how == "remove":
            del data[start : start + len(piece)]
        elif how == "insert":
            data[start:start] = piece
        else:
            del data[start:]
    return bytes(data)
