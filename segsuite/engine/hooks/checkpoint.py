"""`PeriodicCheckpointer` and `BestCheckpointer`: when checkpoints are written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from segsuite.checkpoint import Checkpointer
from segsuite.checkpoint.checkpointer import BEST, FINAL
from segsuite.utils import comm
from segsuite.utils.sharded_tensors import whole_state

from ..train_loop import HookBase
from .evaluation import BestMetric, EvalHook

logger = logging.getLogger(__name__)

State = dict[str, Any]


class PeriodicCheckpointer(HookBase):
    """Saves all that resuming takes, every `period` iterations and after the last step.

    Register it last: what the other hooks do in a step belongs to the state.

    Args:
        final_state: gives the content of ``model_final``, written when the training is complete.
        sharded: every process writes what it has of sharded tensors; False: one writes them whole.
    """

    def __init__(
        self,
        checkpointer: Checkpointer,
        *,
        period: int,
        final_state: Callable[[], State],
        sharded: bool = False,
    ):
        self._checkpointer = checkpointer
        self._period = period
        self._final_state = final_state
        self._sharded = sharded

    def after_step(self) -> None:
        following = self.trainer.iter + 1
        if following % self._period and not self.trainer.is_last_step:
            return
        # With all processes, as all that makes a state.
        state = self.trainer.state_dict()
        if self._sharded:
            self._checkpointer.save_sharded(following, state)
            return
        state = whole_state(state, keep=comm.is_main_process())
        if comm.is_main_process():
            self._checkpointer.save_periodic(following, state)

    def after_train(self) -> None:
        if self.trainer.interrupted:
            logger.info("the run can be resumed from iteration %d", self.trainer.iter)
            return
        state = self._final_state()
        if comm.is_main_process():
            self._checkpointer.save(FINAL, state)


class BestCheckpointer(HookBase):
    """Saves ``model_best`` whenever a figure of the evaluations reaches a new best.

    Args:
        state: gives the content, the weights that were evaluated.
    """

    def __init__(
        self,
        checkpointer: Checkpointer,
        eval_hook: EvalHook,
        *,
        metric: str,
        state: Callable[[], State],
    ):
        self._checkpointer = checkpointer
        self._eval_hook = eval_hook
        self._best = BestMetric(metric)
        self._state = state

    def after_step(self) -> None:
        if not self._eval_hook.is_due or not self._best.update(self._eval_hook.results):
            return
        logger.info("best so far: %s %.4f", self._best.name, self._best.value)
        state = {**self._state(), "metric": {self._best.name: self._best.value}}
        if comm.is_main_process():
            self._checkpointer.save(BEST, state)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best.value = state["best"]
