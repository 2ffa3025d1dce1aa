"""Registries: names that a configuration can ask for, and the objects behind them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, overload

from segsuite.errors import NameTakenError, UnknownNameError

T = TypeVar("T")


class Registry:
    """A mapping from names to classes or functions, filled with a decorator.

    >>> BACKBONE_REGISTRY = Registry("BACKBONE")
    >>> @BACKBONE_REGISTRY.register()
    ... def build_my_backbone(cfg, input_shape): ...
    >>> BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME)
    """

    def __init__(self, name: str):
        self.name = name
        self._objects: dict[str, Any] = {}

    @overload
    def register(self, obj: None = None, *, name: str | None = None) -> Callable[[T], T]: ...

    @overload
    def register(self, obj: T, *, name: str | None = None) -> T: ...

    def register(self, obj: Any = None, *, name: str | None = None) -> Any:
        """Register `obj` under `name` (its ``__name__`` by default); without `obj`, a decorator.

        Raises:
            NameTakenError: the name is taken by another object.
        """
        if obj is None:
            return lambda o: self.register(o, name=name)
        key = name or obj.__name__
        if self._objects.get(key, obj) is not obj:
            raise NameTakenError(
                f"{self.name}: '{key}' is already registered by {self._objects[key].__module__}; "
                f"choose another name for the one in {obj.__module__}"
            )
        self._objects[key] = obj
        return obj

    def get(self, name: str) -> Callable[..., Any]:
        """Return the object registered as `name`.

        Raises:
            UnknownNameError: nothing is; the message lists what there is and the closest match.
        """
        if name in self._objects:
            return self._objects[name]
        raise UnknownNameError(unknown_name(name, self._objects, f"{self.name} registry"))

    def remove(self, name: str) -> None:
        """Forget what is registered as `name`.

        Raises:
            UnknownNameError: nothing is.
        """
        self.get(name)
        del self._objects[name]

    def __contains__(self, name: str) -> bool:
        return name in self._objects

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._objects))

    def __repr__(self) -> str:
        return f"Registry({self.name}: {', '.join(self)})"


def closest(name: str | int, known: Any) -> str | None:
    """The entry of `known` most like `name`, ignoring case; None when nothing is alike."""
    by_lower = {str(k).lower(): str(k) for k in known}
    matches = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def unknown_name(name: str | int, known: Any, where: str) -> str:
    """The message for a name that `where` does not have: the closest match, then all there is."""
    match = closest(name, known)
    hint = f" Did you mean '{match}'?" if match else ""
    names = ", ".join(sorted(map(str, known))) or "nothing yet"
    return f"'{name}' is not in the {where}.{hint} It has: {names}."
