"""Checks of numbers that a network is built from; the messages name the configuration's key."""

from __future__ import annotations

from collections.abc import Sequence

from segsuite.errors import ConfigError


def check_positive(key: str, value: int, *, or_zero: bool = False) -> None:
    """Refuse what is no whole number above 0, or from 0 on.

    Raises:
        ConfigError: names `key` and `value`.
    """
    if not _is_whole(value, 0 if or_zero else 1):
        kind = "a whole number from 0 on" if or_zero else "a positive whole number"
        raise ConfigError(f"{key} is {value!r}; expected {kind}")


def check_kernel_size(key: str, value: int) -> None:
    """Refuse what is no odd number above 0: no other kernel leaves a map at its size.

    Raises:
        ConfigError: names `key` and `value`.
    """
    if not (_is_whole(value, 1) and value % 2):
        raise ConfigError(
            f"{key} is {value!r}; expected an odd positive number of pixels, such as 1 or 3"
        )


def check_all_positive(key: str, values: Sequence[int], *, different: bool = False) -> None:
    """Refuse an empty list, and one with something else than whole numbers above 0.

    Args:
        different: no number may be there twice.

    Raises:
        ConfigError: names `key` and `values`.
    """
    values = list(values)
    is_wrong = not values or not all(_is_whole(value, 1) for value in values)
    if is_wrong or (different and len(set(values)) < len(values)):
        kind = "different positive whole numbers" if different else "positive whole numbers"
        raise ConfigError(f"{key} is {values}; expected a list of {kind}")


def check_probability(key: str, value: float) -> None:
    """Refuse what is not in [0, 1).

    Raises:
        ConfigError: names `key` and `value`.
    """
    if not 0 <= value < 1:
        raise ConfigError(f"{key} is {value}; expected a probability in [0, 1), such as 0.1")


def _is_whole(value: int, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
