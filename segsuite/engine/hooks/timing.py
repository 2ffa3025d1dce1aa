"""`IterationTimer`: seconds per step."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from ..train_loop import HookBase

logger = logging.getLogger(__name__)


class IterationTimer(HookBase):
    """Puts ``time``, the seconds of each step without the hooks after it, and sums up at the end.

    Register it first. The first steps, which warm up, are left out of the summary.
    """

    def __init__(self, *, warmup_steps: int = 3):
        self._warmup_steps = warmup_steps

    def before_train(self) -> None:
        self._train_start = time.perf_counter()
        self._step_seconds = 0.0
        self._steps = 0

    def before_step(self) -> None:
        self._step_start = time.perf_counter()

    def after_step(self) -> None:
        seconds = time.perf_counter() - self._step_start
        self.trainer.storage.put_scalar("time", seconds)
        if self.trainer.iter - self.trainer.start_iter >= self._warmup_steps:
            self._step_seconds += seconds
            self._steps += 1

    def after_train(self) -> None:
        if self._steps:
            total = timedelta(seconds=int(time.perf_counter() - self._train_start))
            speed = self._step_seconds / self._steps
            done = self.trainer.iter - self.trainer.start_iter
            logger.info("%d iterations in %s, %.4f s a step", done, total, speed)
