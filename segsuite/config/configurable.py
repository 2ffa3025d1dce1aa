"""`@configurable`: constructors that take plain arguments, or a configuration instead."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fvcore.common.config import CfgNode as _FvcoreCfgNode


def configurable(func: Callable | None = None, *, from_config: Callable | None = None) -> Callable:
    """Let an ``__init__``, or a function with `from_config`, be called with a configuration.

    >>> class Head(nn.Module):
    ...     @configurable
    ...     def __init__(self, *, channels: int, dropout: float = 0.0): ...
    ...     @classmethod
    ...     def from_config(cls, cfg, input_shape):
    ...         return {"channels": input_shape["res5"].channels}
    >>> Head(channels=3)                      # plain arguments
    >>> Head(cfg, input_shape)                # from_config supplies them
    >>> Head(cfg, input_shape, dropout=0.1)   # and is overridden

    With a CfgNode as the first argument, or as the keyword ``cfg``, `from_config` gets the
    arguments it names and returns a dict of keyword arguments; the remaining ones override it.
    An argument that `from_config` gives as None is left out, so a key that is null means what the
    constructor has as the default.

    Raises:
        TypeError: the class has no classmethod ``from_config``, or it returned no dict.
    """
    if func is None:
        return functools.partial(configurable, from_config=from_config)

    if from_config is not None:

        @functools.wraps(func)
        def wrapped_function(*args: Any, **kwargs: Any) -> Any:
            if not _is_config_call(args, kwargs):
                return func(*args, **kwargs)
            return func(**_arguments(from_config, args, kwargs))

        return wrapped_function

    if func.__name__ != "__init__":
        raise TypeError("@configurable goes on __init__; on a function give it from_config=...")

    @functools.wraps(func)
    def wrapped_init(self: Any, *args: Any, **kwargs: Any) -> None:
        if not _is_config_call(args, kwargs):
            return func(self, *args, **kwargs)
        cls_from_config = getattr(type(self), "from_config", None)
        if not inspect.ismethod(cls_from_config):
            raise TypeError(
                f"{type(self).__name__} was given a configuration but has no classmethod "
                "from_config(cls, cfg, ...)"
            )
        return func(self, **_arguments(cls_from_config, args, kwargs))

    return wrapped_init


def _is_config_call(args: tuple, kwargs: dict) -> bool:
    first = args[0] if args else kwargs.get("cfg")
    return isinstance(first, _FvcoreCfgNode)


def _arguments(from_config: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    parameters = inspect.signature(from_config).parameters.values()
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        taken, overrides = kwargs, {}
    else:
        names = {p.name for p in parameters}
        taken = {k: v for k, v in kwargs.items() if k in names}
        overrides = {k: v for k, v in kwargs.items() if k not in names}
    arguments = from_config(*args, **taken)
    if not isinstance(arguments, dict):
        raise TypeError(f"{from_config.__qualname__} must return a dict, not {type(arguments)}")
    given = {name: value for name, value in arguments.items() if value is not None}
    return {**given, **overrides}
