"""Single values of a COCO file as what they mean, however a program wrote them.

JSON has no types of its own: a height may be 72, 72.0 or "72", and a flag 0, false, "0" or null.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

_WHOLE = re.compile(r"\s*([+-]?[0-9]+)(?:\.0*)?\s*")
_FLAGS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def as_integer(value: Any) -> int | None:
    """A whole number: of 72, 72.0 and "72" it is 72. None of all else, also of true and false."""
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return int(number) if number.is_integer() else None
    if isinstance(value, str):
        found = _WHOLE.fullmatch(value)
        # Python refuses texts of thousands of digits, which no id or size has.
        return int(found[1]) if found and len(value) < 100 else None
    return None


def as_number(value: Any) -> float | None:
    """A finite number, also one that was written as text; None of all else."""
    if type(value) is float:
        return value if math.isfinite(value) else None
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (Real, str)):
        return None
    if isinstance(value, str) and "_" in value:  # which Python takes
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def as_flag(value: Any) -> bool | None:
    """Whether a flag such as ``iscrowd`` is set; null is not. None of what is neither 0 nor 1."""
    if value is None:
        return False
    if isinstance(value, str):
        return _FLAGS.get(value.strip().lower())
    if isinstance(value, (bool, np.bool_, Real)) and value in (0, 1):
        return bool(value)
    return None


def as_id(value: Any) -> int | str | None:
    """An id: a whole number, or text as it is. None of what can't be one."""
    if isinstance(value, str):
        return value if value.strip() else None
    return as_integer(value)


class Ids:
    """Finds entries by their ids, also where a reference is written otherwise than the id.

    Args:
        ids: of the entries, as `as_id` gives them.
    """

    def __init__(self, ids: Iterable[Any]) -> None:
        self._exact = {id: i for i, id in enumerate(ids)}
        self._loose: dict[Any, int | None] | None = None

    @property
    def exact(self) -> Mapping[Any, int]:
        """The number of an entry by its id."""
        return self._exact

    def find(self, reference: Any) -> tuple[int | None, bool]:
        """The number of the entry that is meant, and whether `reference` is its id as it stands.

        None where there is no such entry, or several could be meant.
        """
        if isinstance(reference, (str, int, float, Integral)) and not isinstance(reference, bool):
            found = self._exact.get(reference)
            if found is not None:
                return found, True
        if self._loose is None:
            self._loose = {}
            for id, i in self._exact.items():
                key = _loosely(id)
                self._loose[key] = None if key in self._loose else i
        key = _loosely(reference)
        return (None if key is None else self._loose.get(key)), False


def _loosely(id: Any) -> Any:
    number = as_integer(id)
    if number is not None:
        return number
    return id.strip() if isinstance(id, str) else None


def id_order(id: Any) -> tuple[bool, Any]:
    """What ids are sorted by: numbers come before texts."""
    return isinstance(id, str), id


def are_huge(ids: Sequence[Any]) -> bool:
    """Whether an id may be, or may have been, a whole number of more than 64 bits, which a fast
    JSON parser makes a float of. A text may stand for one."""
    if not set(map(type, ids)) <= {int}:
        ids = [number for id in ids if (number := as_integer(id)) is not None]
    return bool(ids) and max(max(ids), -min(ids)) >= 1 << 63
