"""`PreciseBN`: batch-norm statistics for evaluation from more than the last few batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from itertools import islice

import torch
from torch import nn

from segsuite.utils import comm

from ..train_loop import HookBase
from .evaluation import EvalHook

logger = logging.getLogger(__name__)


class PreciseBN(HookBase):
    """Before each evaluation, recompute the statistics on `num_iter` training batches.

    They are the batches that follow in the stream (they are still trained on afterwards), with
    the weights that are evaluated. Register it before `EvalHook`.

    Args:
        build_loader: ``build_loader(start_iter)`` gives the batches from that iteration on.
        evaluation_weights: a context that gives the model with the weights that are evaluated.
    """

    def __init__(
        self,
        eval_hook: EvalHook,
        *,
        num_iter: int,
        build_loader: Callable[[int], Iterable[list[dict]]],
        evaluation_weights: Callable[[], AbstractContextManager[nn.Module]],
    ):
        self._eval_hook = eval_hook
        self._num_iter = num_iter
        self._build_loader = build_loader
        self._evaluation_weights = evaluation_weights

    def after_step(self) -> None:
        if not self._eval_hook.is_due:
            return
        logger.info("recomputing batch-norm statistics on %d batches", self._num_iter)
        with self._evaluation_weights() as model:
            loader = self._build_loader(self.trainer.iter + 1)
            recompute_bn_statistics(model, islice(loader, self._num_iter))


@torch.no_grad()
def recompute_bn_statistics(model: nn.Module, batches: Iterable[list[dict]]) -> None:
    """Set the running statistics of every batch norm to those of `batches`, of all processes.

    The mean is the mean of the batches' means, the variance that of all values if the batches are
    of one size (Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3.1).

    Args:
        batches: what `model`, in training mode, takes; at least one.
    """
    norms = [
        m
        for m in model.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training and m.track_running_stats
    ]
    momenta = [m.momentum for m in norms]
    statistics = [_statistics(m) for m in norms]
    sums = [torch.zeros(2, len(mean), device=mean.device) for mean, _ in statistics]
    count = 0
    for norm in norms:
        norm.momentum = 1.0  # the running statistics are those of the last batch
    try:
        for batch in batches:
            model(batch)
            count += 1
            for (mean, variance), moments in zip(statistics, sums, strict=True):
                moments += torch.stack([mean, variance + mean.square()])
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    for (mean, variance), moments in zip(statistics, sums, strict=True):
        new_mean, square = comm.all_reduce_mean(moments / count)
        mean.copy_(new_mean)
        variance.copy_(square - new_mean.square())


def _statistics(norm: nn.modules.batchnorm._BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """The buffers of its running mean and variance."""
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, norm.running_var
