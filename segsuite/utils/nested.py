"""Nested dicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten(tree: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """One dict for nested ones, its keys joined: ``{"a": {"b": 1}}`` -> ``{"a.b": 1}``.

    An empty dict below the top is a value.
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            inner = flatten(value, separator)
            flat.update({f"{key}{separator}{name}": v for name, v in inner.items()})
        else:
            flat[str(key)] = value
    return flat
