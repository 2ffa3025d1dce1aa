"""`Profiler`: a torch.profiler trace of a few iterations."""

from __future__ import annotations

import logging
import os

import torch
from torch.profiler import ProfilerActivity

from segsuite.runs.files import RunFiles
from segsuite.utils import comm
from segsuite.utils.files import atomic_path

from ..train_loop import HookBase

logger = logging.getLogger(__name__)


class Profiler(HookBase):
    """Traces the iterations ``[start, start + steps)`` into ``profile/rank<N>.json`` of a run.

    The file opens in chrome://tracing and https://ui.perfetto.dev; the operators that took most
    time are logged.
    """

    def __init__(self, output_dir: str | os.PathLike[str], *, start: int, steps: int):
        self._files = RunFiles(output_dir)
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
        path = self._files.trace(comm.get_rank())
        with atomic_path(path) as temporary:
            profile.export_chrome_trace(str(temporary))
        by = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = profile.key_averages().table(sort_by=by, row_limit=15)
        logger.info("profile of %d iterations in %s\n%s", self._steps, path, table)

    def close(self) -> None:
        if self._profile is not None:
            self._profile.stop()
            self._profile = None
