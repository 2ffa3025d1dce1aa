"""`EventStorage`: the figures of a training run, kept on the device until somebody reads them."""

from __future__ import annotations

import statistics
from collections import deque
from typing import Any

import torch

from . import comm

# Tensors that wait unread are fetched at this number, so that they do not pile up without a writer.
_MAX_WAITING = 10_000
_current: list[EventStorage] = []  # those whose `with` blocks are being run, outermost first


def get_event_storage() -> EventStorage:
    """The storage of the training that is going on, for code that is handed no trainer.

    Such as a loss or a head of a plug-in. Hooks have ``self.trainer.storage``.

    Raises:
        RuntimeError: there is none, outside of `TrainerBase.train` and of ``with storage:``.
    """
    if not _current:
        raise RuntimeError(
            "no training is going on: get_event_storage() works inside TrainerBase.train, or in a "
            "'with EventStorage() as storage:' block"
        )
    return _current[-1]


class EventStorage:
    """Scalars by name, each with the iteration it belongs to.

    The trainer owns one and sets `iter`; hooks put figures in and writers take them out. Putting a
    tensor costs no synchronisation with its device: it is fetched, with all others that wait, when
    somebody reads.

    A tensor is this process's share of a figure and becomes the mean over all processes when it is
    fetched, so every process puts the same tensors and reads at the same iteration. A float is
    taken as it is.

    In a ``with storage:`` block it is what `get_event_storage` gives; a trainer's is in `train`.

    Args:
        start_iter: the iteration that comes first.
        keep: how many of the last values of a name are remembered.
    """

    def __init__(self, start_iter: int = 0, *, keep: int = 1000):
        self.iter = start_iter
        self._keep = keep
        # name -> [iteration, value] pairs, oldest first
        self._entries: dict[str, deque[list]] = {}
        self._waiting: list[list] = []  # those whose value is still a tensor
        self._raw: set[str] = set()

    def put_scalar(
        self, name: str, value: float | torch.Tensor, *, smoothing_hint: bool = True
    ) -> None:
        """Remember a figure of the present iteration.

        Args:
            value: a number, or a tensor of one element.
            smoothing_hint: writers show the median of such a figure since they last wrote; False
                for what is no sample of something noisy, as a learning rate or a metric.
        """
        if name not in self._entries:
            self._entries[name] = deque(maxlen=self._keep)
            if not smoothing_hint:
                self._raw.add(name)
        if isinstance(value, torch.Tensor):
            entry = [self.iter, value.detach()]
            self._waiting.append(entry)
        else:
            entry = [self.iter, float(value)]
        self._entries[name].append(entry)
        if len(self._waiting) >= _MAX_WAITING:
            self.fetch()

    def put_scalars(self, *, smoothing_hint: bool = True, **scalars: float | torch.Tensor) -> None:
        """`put_scalar` for several: ``put_scalars(loss=loss, lr=0.1)``."""
        for name, value in scalars.items():
            self.put_scalar(name, value, smoothing_hint=smoothing_hint)

    def fetch(self) -> None:
        """Bring the waiting tensors from their device and average them over the processes."""
        if not self._waiting:
            return
        device = self._waiting[0][1].device
        values = torch.stack([v.reshape(()).to(device, torch.float32) for _, v in self._waiting])
        for entry, value in zip(self._waiting, comm.all_reduce_mean(values).tolist(), strict=True):
            entry[1] = value
        self._waiting.clear()

    def latest(self) -> dict[str, tuple[float, int]]:
        """The last value of every name and its iteration."""
        self.fetch()
        return {name: (entries[-1][1], entries[-1][0]) for name, entries in self._entries.items()}

    def latest_with_smoothing_hint(self, window: int) -> dict[str, tuple[float, int]]:
        """As `latest`, but the median of the last `window` values where the hint asks for it."""
        return {
            name: (value if name in self._raw else self.smoothed(name, window), iteration)
            for name, (value, iteration) in self.latest().items()
        }

    def history(self, name: str) -> list[tuple[int, float]]:
        """The remembered ``(iteration, value)`` pairs of a name, oldest first."""
        self.fetch()
        return [(iteration, value) for iteration, value in self._entries[name]]

    def smoothed(self, name: str, window: int) -> float:
        """The median of the last `window` values of a name."""
        return statistics.median([value for _, value in self.history(name)][-window:])

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __enter__(self) -> EventStorage:
        _current.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        assert _current.pop() is self

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered, as plain values."""
        return {
            "history": {name: self.history(name) for name in self._entries},
            "raw": sorted(self._raw),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._raw = set(state["raw"])
        self._entries = {
            name: deque(([i, value] for i, value in pairs), maxlen=self._keep)
            for name, pairs in state["history"].items()
        }
