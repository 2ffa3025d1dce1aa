"""`AcceleratedForward`: what stands in for the forward of a module."""

from __future__ import annotations

from typing import Any

from torch import nn


class AcceleratedForward:
    """Called as a method of the module, mostly its ``forward``, computes what that of its class
    does in another way.

    Copies of the module, and what is pickled of it, are plain: a shallow copy would go on with the
    original.

    Attributes:
        module: whose method it is.
        method: the method's name.
    """

    def __init__(self, module: nn.Module, method: str = "forward"):
        self.module = module
        self.method = method

    def install(self) -> None:
        """Stand in for the module's method."""
        vars(self.module).update({self.method: self, "__getstate__": self._plain_state})

    def remove(self) -> None:
        """Let the module compute as its class does."""
        del vars(self.module)[self.method]
        if not installed(self.module):
            del vars(self.module)["__getstate__"]

    def _plain_state(self) -> dict[str, Any]:
        # Python asks the instance for it, for every kind of copy.
        return {
            name: value
            for name, value in vars(self.module).items()
            if name != "__getstate__" and not isinstance(value, AcceleratedForward)
        }


def installed(module: nn.Module) -> list[AcceleratedForward]:
    """What stands in for methods of a module."""
    return [value for value in vars(module).values() if isinstance(value, AcceleratedForward)]
