"""`LRScheduler`: sets the learning rates."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..train_loop import HookBase


class LRScheduler(HookBase):
    """Before each step, ``lr = base_lr * multiplier(iteration)`` in every parameter group.

    The multiplier is a function of the iteration alone, so there is no state to resume.

    Args:
        optimizer: each group has its ``base_lr``.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, multiplier: Callable[[int], float]):
        self._optimizer = optimizer
        self._multiplier = multiplier

    def before_step(self) -> None:
        # A checkpoint, which has the rates, can't hold the number that NumPy makes of one.
        factor = float(self._multiplier(self.trainer.iter))
        for group in self._optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor

    def after_step(self) -> None:
        # The rate of the group with most parameters stands for all.
        group = max(self._optimizer.param_groups, key=lambda g: len(g["params"]))
        self.trainer.storage.put_scalar("lr", group["lr"], smoothing_hint=False)
