"""The hook that tells what the steps of a run take."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import step_times
import torch
from step_times import StepTimes

from segsuite.engine import HOOK_REGISTRY
from segsuite.utils.events import EventStorage

STEPS, WARM_UP, TRACED = 10, 3, 2


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """Seconds that pass where a test says so."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(step_times.time, "perf_counter", lambda: clock.now)
    return clock


def run(path, clock, on_step: Callable[[int], object] = lambda i: None) -> dict:
    """What is written of steps that take 1 second but the first ones and the last."""
    cfg = SimpleNamespace(SOLVER=SimpleNamespace(MAX_ITER=STEPS))
    hook = HOOK_REGISTRY.get("StepTimes")(cfg, path=str(path), warm_up=WARM_UP, traced=TRACED)
    hook.trainer = SimpleNamespace(storage=EventStorage())
    for i in range(STEPS):
        hook.trainer.iter = hook.trainer.storage.iter = i
        hook.trainer.is_last_step = i == STEPS - 1
        hook.before_step()
        measured = WARM_UP <= i < STEPS - TRACED
        hook.trainer.storage.put_scalar("data_time", 0.25 if measured else 5.0)
        clock.now += 1 if measured else 20
        on_step(i)
        hook.after_step()
    hook.after_train()
    return json.loads(path.read_text())


def test_times(tmp_path, clock):
    assert HOOK_REGISTRY.get("StepTimes") is StepTimes
    content = run(tmp_path / "times.json", clock)
    assert (content["seconds"], content["data_seconds"]) == (1, 0.25)
    assert set(content["work"].values()) == {None}


def test_work_of_the_last_steps_on_a_gpu(tmp_path, clock, monkeypatch):
    recording, events = [], []

    class FakeProfile:
        def __init__(self, activities) -> None: ...
        def start(self) -> None:
            recording.append(True)

        def stop(self) -> None:
            recording.clear()

        def export_chrome_trace(self, path: str) -> None:
            with open(path, "w") as file:
                json.dump({"traceEvents": events}, file)

    def work(i: int) -> None:
        if recording:
            events.append({"cat": "kernel", "name": "k", "ts": 1e4 * i, "dur": 3000})
            call = {"cat": "cuda_runtime", "name": "cudaLaunchKernel"}
            events.append({**call, "args": {"correlation": i}})

    monkeypatch.setattr(step_times, "profile", FakeProfile)
    monkeypatch.setattr(step_times, "without_profiling", lambda counted: counted)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 2**30)
    content = run(tmp_path / "times.json", clock, work)
    assert content["work"] == {"busy_ms": 3, "launches": 1, "waits": 0, "memory_mib": 1024}
    assert content["seconds"] == 1
