"""`EMAHook`: keeps a running average of the weights."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from torch import nn

from segsuite.solver import ModelEMA

from ..train_loop import HookBase


class EMAHook(HookBase):
    """Takes the weights into a `ModelEMA` after each step, from those at the start on."""

    def __init__(self, model: nn.Module, *, decay: float):
        self._model = model
        self._decay = decay
        self._state: dict[str, Any] | None = None

    def before_train(self) -> None:
        self._ema = ModelEMA(self._model, self._decay)
        if self._state is not None:
            self._ema.load_state_dict(self._state)

    def after_step(self) -> None:
        self._ema.update()

    def applied(self) -> AbstractContextManager[None]:
        """A context in which the model has the averaged weights."""
        return self._ema.applied()

    def state_dict(self) -> dict[str, Any]:
        return self._ema.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._state = state
