"""Lists of components in a configuration: each a name, or a name with arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from segsuite.errors import ConfigError, UnknownNameError
from segsuite.utils.registry import closest

from .node import CfgNode


def read_entries(entries: Iterable[Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    """The names and arguments in a list such as ``[RandomFlip, {RandomScale: {LOW: 1, HIGH: 2}}]``.

    Args:
        key: where the list stands, for messages.

    Returns:
        ``[("RandomFlip", {}), ("RandomScale", {"low": 1, "high": 2})]``: arguments are written in
        capitals, as keys are, and are lower-case in Python.

    Raises:
        ConfigError: an entry is neither.
    """
    return [_read_entry(entry, key) for entry in entries]


def _read_entry(entry: Any, key: str) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, arguments),) = entry.items()
        if arguments is None:
            arguments = {}
        if isinstance(arguments, Mapping):
            return str(name), read_arguments(arguments)
    raise ConfigError(
        f"{key}: {entry!r} is no entry; expected a name, or one name with its arguments: "
        "{NAME: {ARGUMENT: value}}"
    )


def read_arguments(arguments: Mapping[Any, Any]) -> dict[str, Any]:
    """``{EPS: 1e-6}`` as keyword arguments of Python, ``{"eps": 1e-6}``."""
    return {
        # YAML takes 1e-6 for a text, and so comes all that a command line has.
        str(key).lower(): CfgNode._decode_cfg_value(value) if isinstance(value, str) else value
        for key, value in arguments.items()
    }


def build_entry(
    build: Callable[..., Any], name: str, arguments: Mapping[str, Any], key: str, *given: Any
) -> Any:
    """``build(*given, **arguments)``.

    Args:
        name, key: of the entry, for messages.
        given: what every component behind `key` is built with, such as the configuration.

    Raises:
        UnknownNameError: `build` has no such argument.
    """
    if arguments:
        _check_arguments(build, name, arguments, key, len(given))
    return build(*given, **arguments)


def _check_arguments(
    build: Callable[..., Any], name: str, arguments: Mapping[str, Any], key: str, num_given: int
) -> None:
    try:
        parameters = list(inspect.signature(build).parameters.values())
    except ValueError:  # a function of C's that does not tell
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    if parameters and parameters[0].name == "cfg":  # else it is @configurable's plain signature
        parameters = parameters[num_given:]
    known = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for argument in arguments:
        if argument not in known:
            match = closest(argument, known)
            hint = f" Did you mean {match.upper()}?" if match else ""
            names = ", ".join(sorted(known)).upper() or "none"
            raise UnknownNameError(
                f"{key}: {name} has no argument {argument.upper()}.{hint} It has: {names}"
            )
