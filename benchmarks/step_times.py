"""`StepTimes`, a hook for `training_loop.py`: what the steps of a run take, in a file."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import torch
from device_work import Work, counts, events_of, without_profiling
from torch.profiler import ProfilerActivity, profile

from segsuite.config import CfgNode
from segsuite.engine import HOOK_REGISTRY, HookBase


@HOOK_REGISTRY.register()
class StepTimes(HookBase):
    """Writes ``seconds`` a step, ``data_seconds`` of it that are waited for data, and ``work``.

    Args:
        path: of the file, JSON.
        warm_up: steps that are not measured.
        traced: of the last steps the work of the GPU is recorded, but not their time.
    """

    def __init__(self, cfg: CfgNode, *, path: str, warm_up: int, traced: int = 3):
        self._path = path
        self._first, self._end = warm_up, cfg.SOLVER.MAX_ITER - traced
        self._traced = traced
        self._on_gpu = torch.cuda.is_initialized()

    def before_step(self) -> None:
        if self.trainer.iter == self._first:
            self._start = self._now()
        if self.trainer.iter == self._end:
            self._seconds = self._now() - self._start
            if self._on_gpu:
                self._profile = profile(activities=[ProfilerActivity.CUDA])
                self._profile.start()

    def after_step(self) -> None:
        if self._on_gpu and self.trainer.is_last_step:
            torch.cuda.synchronize()
            self._profile.stop()

    def after_train(self) -> None:
        work = Work()
        if self._on_gpu:
            counted = without_profiling(counts(events_of(self._profile)))
            a_step = (None if x is None else x / self._traced for x in counted)
            work = Work(*a_step, memory_mib=torch.cuda.max_memory_allocated() / 2**20)
        steps = range(self._first, self._end)
        waited = dict(self.trainer.storage.history("data_time"))
        content = {
            "seconds": self._seconds / len(steps),
            "data_seconds": sum(waited[i] for i in steps) / len(steps),
            "work": asdict(work),
        }
        with open(self._path, "w") as file:
            json.dump(content, file)

    def _now(self) -> float:
        if self._on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()
