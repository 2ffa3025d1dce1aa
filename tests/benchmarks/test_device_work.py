"""What is counted in the trace of a GPU, from events as the profiler writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import device_work
import pytest
import torch
from device_work import Work, counts, work_of


def on_device(category: str, start: float, microseconds: float) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": "something", "ts": start, "dur": microseconds}


def call(name: str, correlation: int, category: str = "cuda_runtime") -> dict[str, Any]:
    arguments = {"cbid": 211, "correlation": correlation}
    return {"ph": "X", "cat": category, "name": name, "ts": 0, "dur": 5, "args": arguments}


def test_time_in_which_the_device_works_is_counted_once():
    events = [
        call("cudaLaunchKernel", 1),
        on_device("kernel", 100, 50),
        on_device("kernel", 120, 10),  # within the first, on another stream
        on_device("gpu_memcpy", 140, 20),  # ends after it
        on_device("gpu_memset", 300, 5.5),
        on_device("gpu_user_annotation", 0, 1e6),  # the span of a step is no work
        on_device("cpu_op", 0, 1e6),
    ]
    busy, _, _ = counts(events)
    assert busy == pytest.approx(0.0655)


def test_launches():
    names = ["cudaLaunchKernel", "cudaLaunchKernelExC", "cudaLaunchCooperativeKernel"]
    names += ["cudaGraphLaunch", "cudaLaunchKernel_ptsz"]
    events = [call(name, i) for i, name in enumerate(names)]
    # A launch that is told as a call of the driver, too, and one of the driver alone.
    events += [
        call("cuLaunchKernelEx", 0, "cuda_driver"),
        call("cuLaunchKernel", 50, "cuda_driver"),
    ]
    events += [call("cudaMemcpyAsync", 60), call("cudaFuncGetAttributes", 61)]
    assert counts(events)[1] == 6


def test_waits():
    names = ["cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy"]
    others = ["cudaMemcpyAsync", "cudaEventRecord", "cudaStreamWaitEvent", "cudaStreamIsCapturing"]
    events = [call(name, i) for i, name in enumerate([*names, *others, "cudaStreamSynchronize"])]
    assert counts(events)[2] == 5


def test_a_trace_without_calls_tells_nothing():
    """As where a machine does not allow to profile its GPU."""
    assert counts([{"ph": "M", "name": "process_name", "args": {"name": "python"}}]) == (None,) * 3


class FakeProfile:
    """Records what the calls below say, and two waits of its own."""

    now: FakeProfile

    def __init__(self, activities: Any) -> None:
        assert activities == [torch.profiler.ProfilerActivity.CUDA]

    def __enter__(self) -> FakeProfile:
        FakeProfile.now, self.events = self, []
        return self

    def __exit__(self, *error: Any) -> None:
        for _ in range(2):
            self.add(call("cudaDeviceSynchronize", 0))

    def add(self, event: dict[str, Any]) -> None:
        if "args" in event:
            event["args"]["correlation"] = len(self.events)
        self.events.append(event)

    def export_chrome_trace(self, path: str) -> None:
        Path(path).write_text(json.dumps({"traceEvents": self.events}))


def test_work_of_a_call_on_a_gpu(monkeypatch):
    device_work._waits_of_nothing.cache_clear()
    monkeypatch.setattr(device_work, "profile", FakeProfile)
    memory = {"now": 3 * 2**20, "most": 0}
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: memory["now"])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: memory["most"])
    monkeypatch.setattr(
        torch.cuda, "reset_peak_memory_stats", lambda: memory.update(most=memory["now"])
    )

    def way() -> None:
        memory["most"] = 10 * 2**20
        FakeProfile.now.add(call("cudaLaunchKernel", 0))
        FakeProfile.now.add(on_device("kernel", 0, 1500))
        FakeProfile.now.add(call("cudaStreamSynchronize", 0))

    try:
        assert work_of(way, "cuda") == Work(busy_ms=1.5, launches=1, waits=1, memory_mib=7)
    finally:
        device_work._waits_of_nothing.cache_clear()


def test_memory_of_a_call_on_the_cpu(monkeypatch):
    """Beyond what was resident before. (The system's own numbers depend on what was freed.)"""
    steps = []

    def status(_, key):
        steps.append(key)
        return {"VmRSS": 300.0, "VmHWM": 364.0}[key]

    monkeypatch.setattr(device_work, "_status_mib", status)
    work = work_of(lambda: steps.append("call"), "cpu")
    if work.memory_mib is None:
        pytest.skip("this system does not tell")
    assert work == Work(memory_mib=64) and steps == ["VmRSS", "call", "VmHWM"]
