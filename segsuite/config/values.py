"""How the text of a value is read: as people write it in YAML, and in any shell's quoting."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from segsuite.errors import ConfigError

from .yaml_files import parse_yaml

_QUOTES = ("''", '""')
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def decode(value: Any) -> Any:
    """A text as the Python literal in it (``"0.1"``, ``"(1, 2)"``, ``"None"``), else as it is;
    ``"null"`` is None as well."""
    if not isinstance(value, str):
        return value
    if value == "null":
        return None
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def read_section(value: Any) -> Any:
    """A mapping in a text, ``{a: 1}`` as YAML has it; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return parse_yaml(value, "the value")
    except ConfigError:
        return value


def read_bracketed(value: Any) -> Any:
    """A mapping or a list in a text, as YAML has them; anything else as it is."""
    if isinstance(value, str) and value.strip()[:1] + value.strip()[-1:] in ("[]", "()"):
        return _read_list(value)
    return read_section(value)


def read_list_of(kind: type, value: Any, name: str, source: str) -> tuple[Any, ...]:
    """`value` as the list of a key that was declared by `list_of`; a single one is a list of one.

    Args:
        kind: `str`: what is written stays text; `object`: numbers are read.
        name, source: as `read_value`.

    Raises:
        ConfigError: null, a mapping, or for `str` anything that is no text.
    """
    if isinstance(value, str):
        value = _words(value) if kind is str else _read_list(value)
    if value is None or isinstance(value, dict):
        what = "null" if value is None else "a mapping"
        raise ConfigError(f"{source}: {name} takes a tuple (default ()), it was given {what}")
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if kind is object:
        return values
    # A name of digits alone is a number in YAML.
    odd = [v for v in values if not isinstance(v, (str, int)) or isinstance(v, bool)]
    if odd:
        raise ConfigError(
            f"{source}: {name} takes a list of names, it was given {odd[0]!r}; put it in quotes if "
            "it is one"
        )
    return tuple(map(str, values))


def read_choice(value: Any, choices: Sequence[bool | str], name: str, source: str) -> bool | str:
    """`value` as one of the `choices` of a key that was declared by `one_of`.

    Args:
        name, source: as `read_value`.

    Raises:
        ConfigError: it is none of them.
    """
    word = value.lower() if isinstance(value, str) else value
    read = _BOOLEANS.get(word, value) if isinstance(word, str) else value
    for choice in choices:
        if type(choice) is type(read) and choice == read:
            return choice
    *others, last = map(repr, choices)
    raise ConfigError(
        f"{source}: {name} can be {', '.join(others)} or {last}, it was given {value!r}"
    )


def read_value(
    value: Any, old: Any, name: str, source: str, *, default: Any, can_be_null: bool = True
) -> Any:
    """`value` in the type of `old`, the value that it replaces.

    Numbers may be written as ``1e3``; a list as ``a,b``, ``(a,b)``, ``[a, b]``, with or without
    quotes around its words; a single value stands for a list of one. Anything replaces None.

    Args:
        value: of a YAML file, or a word of a command line.
        name: the key, for the message.
        source: where `value` comes from, for the message.
        default: what is replaced, for the message: None where `old` merely has its type.
        can_be_null: whether None replaces what is not None.

    Raises:
        ConfigError: the value is of another type.
    """
    given = value
    if isinstance(old, (tuple, list)) and isinstance(value, str):
        value = _read_list(value)
    elif isinstance(old, bool) and isinstance(value, str) and value.lower() in _BOOLEANS:
        value = _BOOLEANS[value.lower()]
    elif isinstance(old, str) and isinstance(value, str):
        decoded = decode(value)
        # What looks like a number is the text that it was: a folder may be called 2024.
        value = decoded if decoded is None or isinstance(decoded, str) else value
    else:
        value = decode(value)
    if old is None or type(value) is type(old):
        return value
    if value is None and (can_be_null or default is None):
        return value
    if isinstance(old, float) and type(value) is int:
        return float(value)
    if type(old) is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(old, (tuple, list)) and not (value is None or isinstance(value, dict)):
        values = value if isinstance(value, (tuple, list)) else [value]
        if not (old and _all_numbers(old)) or _all_numbers(values):
            return type(old)(values)
    shown = "null" if default is None else repr(default)
    what = "null" if given is None else f"the {type(given).__name__} {given!r}"
    article = "an" if isinstance(old, int) and not isinstance(old, bool) else "a"
    raise ConfigError(
        f"{source}: {name} takes {article} {type(old).__name__} (default {shown}), "
        f"it was given {what}"
    )


def _words(text: str) -> Any:
    """A list of texts that was written with or without brackets and quotes."""
    inner = text.strip()
    if decode(inner) is None:
        return None
    if inner[:1] + inner[-1:] in ("()", "[]"):
        inner = inner[1:-1]
    words = [word.strip() for word in inner.split(",")]
    return [word[1:-1] if word[:1] + word[-1:] in _QUOTES else word for word in words if word]


def _all_numbers(values: Any) -> bool:
    return all(isinstance(value, (int, float)) for value in values)


def _read_list(text: str) -> Any:
    """A list that was written with or without brackets and quotes; None for "None"."""
    decoded = decode(text)
    if not isinstance(decoded, str):
        return decoded
    inner = decoded.strip()
    if inner[:1] + inner[-1:] in ("()", "[]"):
        inner = inner[1:-1]
    try:
        values = parse_yaml(f"[{inner}]", "the value")
    except ConfigError:
        values = [word.strip() for word in inner.split(",")]
    return [decode(value) for value in values]
