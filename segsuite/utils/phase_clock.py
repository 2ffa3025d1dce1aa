"""`PhaseClock`: where the time of a loop goes."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import torch


class PhaseClock:
    """Seconds by phase, without waiting for the device: on CUDA they are measured by events, which
    are read when the figures are asked for.

    Args:
        device: that the work is done on.
        phases: their names; `seconds` has them in this order.
    """

    def __init__(self, device: torch.device, phases: tuple[str, ...]):
        self._cuda = device.type == "cuda"
        self._seconds = dict.fromkeys(phases, 0.0)
        self._marks = [("", self._now())]
        self.start = time.perf_counter()

    def lap(self, phase: str) -> None:
        """What passed since the last lap belongs to `phase`."""
        self._marks.append((phase, self._now()))

    def seconds(self) -> dict[str, float]:
        """The time that each phase has taken so far."""
        if self._cuda:
            self._marks[-1][1].synchronize()
        for (_, before), (phase, now) in pairwise(self._marks):
            passed = before.elapsed_time(now) / 1e3 if self._cuda else now - before
            self._seconds[phase] += passed
        del self._marks[:-1]
        return dict(self._seconds)

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
