"""Class names and label maps as people write them in a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segsuite.errors import ConfigError

from ..palette import Color, rgb


def read_class_names(classes: Any, where: str) -> list[str]:
    """Names by class id.

    Args:
        classes: a list, or a mapping of ids from 0 on, in any order, to names, as Ultralytics has
            it.
        where: what messages call it, such as "DATASETS.REGISTER.mine.CLASSES".

    Raises:
        ConfigError: no names, one that occurs twice, is empty or no text, or ids with gaps.
    """
    if isinstance(classes, Mapping):
        classes = _by_id(classes, where)
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise ConfigError(
            f"{where} is {classes!r}; expected a list of names, [{classes}], or names by id, "
            f"{{0: {classes}}}"
        )
    names = [_name(name, i, where) for i, name in enumerate(classes)]
    if not names:
        raise ConfigError(f"{where} is empty; expected a name for each class")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        ids = ", ".join(str(i) for i, name in enumerate(names) if name == twice[0])
        raise ConfigError(
            f"{where} has '{twice[0]}' more than once (classes {ids}); each class needs a name of "
            "its own. To make one class of several values, give them one id by LABEL_MAP"
        )
    return names


def read_label_map(label_map: Any, where: str) -> dict[int, int]:
    """Stored values and the labels that they become.

    Args:
        label_map: integers by integers of any size and sign, also as text.

    Raises:
        ConfigError: something else, nothing, or a value twice.
    """
    if not isinstance(label_map, Mapping) or not label_map:
        raise ConfigError(
            f"{where} is {label_map!r}; expected stored values and labels, such as {{0: 0, 255: 1}}"
        )
    read: dict[int, int] = {}
    for key, value in label_map.items():
        stored = read_integer(key, where)
        label = read_integer(value, f"{where} at {key}")
        if read.setdefault(stored, label) != label:
            raise ConfigError(f"{where} has two labels for the value {stored}; give one")
    return read


def read_integer(value: Any, where: str) -> int:
    """A whole number, also as text or as a float.

    Raises:
        ConfigError: it is none.
    """
    try:
        number = int(value) if isinstance(value, str) else value
        if not isinstance(number, bool) and int(number) == number:
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ConfigError(f"{where} has {value!r}; expected a whole number")


def read_text(value: Any, where: str) -> str:
    """A text, also where YAML takes its digits for a number.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise ConfigError(f"{where} is {value!r}; expected a text. Put it in quotes if it is one")


def read_colors(colors: Any, count: int, where: str) -> list[Color]:
    """A colour for each class.

    Args:
        colors: lists of red, green and blue, 0 to 255.
        count: of the classes.

    Raises:
        ConfigError: something else, or another number of them.
    """
    if isinstance(colors, str) or not isinstance(colors, Sequence):
        raise ConfigError(f"{where} is {colors!r}; expected [red, green, blue] for each class")
    read: list[Color] = []
    for color in colors:
        values = color if isinstance(color, (list, tuple)) else []
        numbers = [read_integer(value, where) for value in values]
        if len(numbers) != 3 or min(numbers) < 0 or max(numbers) > 255:
            raise ConfigError(f"{where} has {color!r}; expected [red, green, blue], each 0 to 255")
        read.append(rgb(numbers))
    if len(read) != count:
        raise ConfigError(f"{where}: {len(read)} colors for {count} classes")
    return read


def _by_id(classes: Mapping[Any, Any], where: str) -> list[Any]:
    try:
        ids = {read_integer(key, where): key for key in classes}
    except ConfigError:
        first = next(iter(classes))
        raise ConfigError(
            f"{where} is a mapping with the key {first!r}; expected names by id, such as "
            f"{{0: {first}, ...}}, or a list of names"
        ) from None
    if sorted(ids) != list(range(len(classes))):
        raise ConfigError(
            f"{where} has names for the ids {', '.join(map(str, sorted(ids)))}; expected 0 to "
            f"{len(classes) - 1} without gaps. Number the classes anew, and let LABEL_MAP take the "
            "stored values to them"
        )
    return [classes[ids[i]] for i in sorted(ids)]


def _name(name: Any, index: int, where: str) -> str:
    if isinstance(name, str) and name.strip():
        return name.strip()
    if isinstance(name, bool):
        what = f"{name}, which YAML makes of a word such as {'yes' if name else 'no'}"
    elif name is None:
        what = "nothing (null)"
    elif isinstance(name, str):
        what = "an empty name"
    else:
        what = f"{name!r}, which is no text"
    raise ConfigError(
        f"{where} has {what}, for class {index}; expected a name. Put it in quotes if it is one"
    )
