"""`AcceleratedForward`: what stands in for the forward of a module."""

from __future__ import annotations

from typing import Any

from torch import nn


class AcceleratedForward:
    """Called as the module's ``forward``, computes what its class does in another way.

    Copies of the module, and what is pickled of it, are plain: a shallow copy would go on with the
    original.

    Attributes:
        module: whose ``forward`` it is.
    """

    def __init__(self, module: nn.Module):
        self.module = module

    def install(self) -> None:
        """Stand in for the module's ``forward``."""
        vars(self.module).update(forward=self, __getstate__=self._plain_state)

    def remove(self) -> None:
        """Let the module compute as its class does."""
        del vars(self.module)["forward"], vars(self.module)["__getstate__"]

    def _plain_state(self) -> dict[str, Any]:
        # Python asks the instance for it, for every kind of copy.
        return {
            name: value
            for name, value in vars(self.module).items()
            if name not in ("forward", "__getstate__")
        }


def forward_of(module: nn.Module) -> AcceleratedForward | None:
    """What stands in for the ``forward`` of a module, if it does."""
    forward = vars(module).get("forward")
    return forward if isinstance(forward, AcceleratedForward) else None
