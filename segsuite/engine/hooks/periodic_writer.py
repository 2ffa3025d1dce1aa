"""`PeriodicWriter`: hands the figures to the writers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segsuite.utils import comm
from segsuite.utils.writers import EventWriter

from ..train_loop import HookBase


class PeriodicWriter(HookBase):
    """Calls the writers every `period` iterations and after the last; the main process's write.

    Its state is the trainer's storage, so that a resumed run writes what it would have written
    had it never stopped. Register it after the hooks that put figures.
    """

    def __init__(self, writers: Sequence[EventWriter], *, period: int):
        self._writers = list(writers) if comm.is_main_process() else []
        self._period = period
        self._written = 0  # figures before this iteration are

    def before_train(self) -> None:
        start = min(self._written, self.trainer.start_iter)
        for writer in self._writers:
            writer.open(start_iter=start, max_iter=self.trainer.max_iter)

    def after_step(self) -> None:
        following = self.trainer.iter + 1
        ended = self.trainer.is_last_step and not self.trainer.interrupted
        if following % self._period == 0 or ended:
            self.trainer.storage.fetch()  # with all processes
            for writer in self._writers:
                writer.write(self.trainer.storage, window=self._period)
            self._written = following

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    def state_dict(self) -> dict[str, Any]:
        return {"written": self._written, "storage": self.trainer.storage.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._written = state["written"]
        self.trainer.storage.load_state_dict(state["storage"])
