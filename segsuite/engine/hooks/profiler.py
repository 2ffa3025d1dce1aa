"""`Profiler`: a torch.profiler trace of a few iterations."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity

from segsuite.utils import comm

from ..train_loop import HookBase

logger = logging.getLogger(__name__)


class Profiler(HookBase):
    """Traces the iterations ``[start, start + steps)`` into ``folder/rank<N>.json``.

    The file opens in chrome://tracing and https://ui.perfetto.dev; the operators that took most
    time are logged.
    """

    def __init__(self, folder: Path, *, start: int, steps: int):
        self._folder = folder
        self._start = start
        self._steps = steps
        self._profile: torch.profiler.profile | None = None

    def before_step(self) -> None:
        if self.trainer.iter != self._start:
            return
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self._profile = torch.profiler.profile(
            activities=activities, record_shapes=True, profile_memory=True
        )
        self._profile.start()

    def after_step(self) -> None:
        last = self.trainer.iter + 1 == self._start + self._steps
        if self._profile is None or not (last or self.trainer.is_last_step):
            return
        profile, self._profile = self._profile, None
        profile.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"rank{comm.get_rank()}.json"
        profile.export_chrome_trace(str(path))
        by = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = profile.key_averages().table(sort_by=by, row_limit=15)
        logger.info("profile of %d iterations in %s\n%s", self._steps, path, table)

    def close(self) -> None:
        if self._profile is not None:
            self._profile.stop()
            self._profile = None
