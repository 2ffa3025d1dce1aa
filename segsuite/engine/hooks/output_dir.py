"""`OutputDirHook`: a run whose folder is removed stops."""

from __future__ import annotations

from collections.abc import Callable

from ..train_loop import HookBase


class OutputDirHook(HookBase):
    """Looks after every step whether the output folder is still there.

    Register it first: after a removal nothing else must write there, which would make the folder
    again.

    Args:
        check: raises an error when it is not.
    """

    def __init__(self, check: Callable[[], None]):
        self._check = check

    def after_step(self) -> None:
        self._check()

    def after_train(self) -> None:
        self._check()
