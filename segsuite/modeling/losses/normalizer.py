"""What pixel-wise losses divide by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from segsuite.utils import comm


def num_valid(
    targets: torch.Tensor, ignore_index: int, class_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Number of pixels that are not ignored, each counted with the weight of its class.

    Of one part of an `AccumulatedBatch` it is the mean over the parts, so that the mean of the
    parts' losses is the loss of the whole batch, however the ignored pixels are distributed.

    Args:
        targets: (N, H, W) int64.
        class_weights: (K,) float32.

    Returns:
        () float32, the mean over processes, at least a tiny positive number.
    """
    count = _weighted_pixels(targets, ignore_index, class_weights)
    accumulated = _ACCUMULATED.get()
    if accumulated is not None:
        count = accumulated.mean_over_parts(count, ignore_index, class_weights)
    return comm.all_reduce_mean(count).clamp(min=1e-6)


class AccumulatedBatch:
    """A batch whose gradient is summed up part by part.

    What a loss divides by has to be known before the first part's backward pass: where the parts
    divide by their own numbers of pixels, an image of few labelled pixels counts as much as one of
    many. `num_valid` within `part` looks at the label maps of all parts instead::

        batch = AccumulatedBatch(records, parts=2)
        for part in records[:4], records[4:]:
            with batch.part(part):
                losses = model(part)
            (sum(losses.values()) / 2).backward()

    Args:
        records: the process's share of the batch, with ``sem_seg`` (H, W) where there are label
            maps.
        parts: their number.
    """

    def __init__(self, records: Sequence[dict[str, Any]], parts: int):
        self._maps = _label_maps(records)
        self._parts = parts
        self._part: list[torch.Tensor] = []
        self._counts: dict[tuple[int, int], torch.Tensor] = {}

    @contextmanager
    def part(self, records: Sequence[dict[str, Any]]) -> Iterator[None]:
        """Within it the model computes the losses of these records."""
        self._part = _label_maps(records)
        token = _ACCUMULATED.set(self if self._maps else None)
        try:
            yield
        finally:
            _ACCUMULATED.reset(token)

    def mean_over_parts(
        self, count: torch.Tensor, ignore_index: int, class_weights: torch.Tensor | None
    ) -> torch.Tensor:
        """`count` of the present part as it would be if all parts had as many pixels: times what
        the batch's label maps have on average, over what the part's have."""
        key = ignore_index, id(class_weights)  # of an argument, which is alive during the step
        if key not in self._counts:
            of_all = self._sum(self._maps, count, ignore_index, class_weights)
            self._counts[key] = of_all / self._parts
        mean = self._counts[key]
        own = self._sum(self._part, count, ignore_index, class_weights)
        return torch.where(own > 0, count * (mean / own.clamp(min=1e-30)), mean)

    @staticmethod
    def _sum(
        maps: Sequence[torch.Tensor],
        like: torch.Tensor,
        ignore_index: int,
        class_weights: torch.Tensor | None,
    ) -> torch.Tensor:
        total = torch.zeros_like(like)
        for labels in maps:
            labels = labels.to(like.device, non_blocking=True).long()
            if class_weights is not None:  # a wrong label is told of with the part it is in
                inside = labels.clamp(0, len(class_weights) - 1)
                labels = labels.where(labels == ignore_index, inside)
            total += _weighted_pixels(labels, ignore_index, class_weights)
        return total


_ACCUMULATED: ContextVar[AccumulatedBatch | None] = ContextVar("accumulated_batch", default=None)


def _label_maps(records: Sequence[dict[str, Any]]) -> list[torch.Tensor]:
    return [record["sem_seg"] for record in records if "sem_seg" in record]


def _weighted_pixels(
    targets: torch.Tensor, ignore_index: int, class_weights: torch.Tensor | None
) -> torch.Tensor:
    valid = targets != ignore_index
    if class_weights is None:
        return valid.sum(dtype=torch.float32)
    return (class_weights[targets.where(valid, 0)] * valid).sum()
