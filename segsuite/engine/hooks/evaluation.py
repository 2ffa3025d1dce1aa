"""`EvalHook`, and `EarlyStopping` on its results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from segsuite.runs import main_metric
from segsuite.utils.nested import flatten
from segsuite.utils.registry import unknown_name

from ..train_loop import HookBase

logger = logging.getLogger(__name__)


class EvalHook(HookBase):
    """Evaluates every `period` iterations and after the last.

    Args:
        evaluate: returns nested dicts of figures, the same on every process; the numbers among
            them are put as ``outer/inner``, e.g. ``sem_seg/mIoU``.
        period: 0: only after the last iteration.

    Attributes:
        results: the flat figures of the last evaluation.
    """

    def __init__(self, evaluate: Callable[[], Mapping[str, Any]], *, period: int):
        self._evaluate = evaluate
        self._period = period
        self.results: dict[str, float] = {}

    @property
    def is_due(self) -> bool:
        """Whether the present step is followed by an evaluation."""
        following = self.trainer.iter + 1
        return self.trainer.is_last_step or (self._period > 0 and following % self._period == 0)

    def after_step(self) -> None:
        if not self.is_due:
            return
        self.results = {
            name: float(value)
            for name, value in flatten(self._evaluate(), "/").items()
            if isinstance(value, (int, float))  # not the rule that a figure follows, or intervals
        }
        for name, value in self.results.items():
            self.trainer.storage.put_scalar(name, value, smoothing_hint=False)

    def state_dict(self) -> dict[str, Any]:
        return {"results": self.results}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.results = state["results"]


class BestMetric:
    """The largest value that a figure of the evaluations has had so far.

    Args:
        name: of the figure; empty for the main one of the task, see `main_metric`.
    """

    def __init__(self, name: str):
        self.name = name
        self.value = float("-inf")

    def update(self, results: Mapping[str, float]) -> bool:
        """Whether `results` has a new best, which is then remembered; NaN never is."""
        self.name = self.name or main_metric(results) or ""
        if self.name not in results:
            where = "results of the evaluation; fix TEST.BEST_METRIC, no best is kept until then"
            logger.error(unknown_name(self.name, results, where))
            return False
        if not results[self.name] > self.value:
            return False
        self.value = results[self.name]
        return True


class EarlyStopping(HookBase):
    """Ends the training when a figure has not risen in `patience` evaluations. After `EvalHook`."""

    def __init__(self, eval_hook: EvalHook, *, metric: str, patience: int):
        self._eval_hook = eval_hook
        self._best = BestMetric(metric)
        self._patience = patience
        self._waited = 0

    def before_train(self) -> None:
        # A run that stopped for this reason does not go on when it is resumed.
        self._stop_if_due()

    def after_step(self) -> None:
        if not self._eval_hook.is_due:
            return
        self._waited = 0 if self._best.update(self._eval_hook.results) else self._waited + 1
        self._stop_if_due()

    def _stop_if_due(self) -> None:
        if self._waited >= self._patience:
            best = f"{self._best.name} has not risen above {self._best.value:.4g}"
            self.trainer.stop(f"{best} in {self._waited} evaluations")

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best.value, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best.value = state["best"]
        self._waited = state["waited"]
