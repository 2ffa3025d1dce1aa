"""What a call makes its device do: how long it works, launches, waits for it, memory."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

# Categories of the events of a trace.
_CALLS = {"cuda_runtime", "cuda_driver"}
_ON_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset"}
# The names of calls; some end in a version or in "_ptsz", of a stream for each thread.
_LAUNCHES = (
    *("cudaLaunchKernel", "cudaLaunchCooperativeKernel", "cudaGraphLaunch"),
    *("cuLaunchKernel", "cuLaunchCooperativeKernel", "cuGraphLaunch"),
)
# PyTorch's copies to the CPU are a cudaMemcpyAsync and a cudaStreamSynchronize, so one wait. The
# profiler leaves cudaEventSynchronize out in some versions.
_WAITS = (
    *("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize"),
    *("cuStreamSynchronize", "cuCtxSynchronize", "cuEventSynchronize"),
)
_BLOCKING_COPIES = {"cudaMemcpy", "cudaMemcpy2D", "cudaMemcpyToSymbol", "cudaMemcpyFromSymbol"}


@dataclass(frozen=True)
class Work:
    """Of one call; None is what is not known.

    Attributes:
        busy_ms: time in which the device computes, copies or clears.
        launches: of kernels and graphs.
        waits: how often the CPU waits for the device.
        memory_mib: the most that is taken beyond what was before: on a GPU what tensors have, else
            what of the process is resident.
    """

    busy_ms: float | None = None
    launches: int | None = None
    waits: int | None = None
    memory_mib: float | None = None


def work_of(way: Callable[[], object], device: str) -> Work:
    """The work of a call on "cpu", of which memory is all that is known, or on "cuda"."""
    if device == "cpu":
        return Work(memory_mib=_resident_growth_mib(way))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    counted = counts(trace(way))
    memory = (torch.cuda.max_memory_allocated() - before) / 2**20
    return Work(*without_profiling(counted), memory_mib=memory)


def trace(way: Callable[[], object]) -> list[dict[str, Any]]:
    """The events of a call on a GPU, in Chrome's trace format."""
    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        way()
        torch.cuda.synchronize()
    return events_of(recorded)


def events_of(recorded: profile) -> list[dict[str, Any]]:
    """The events of a profile that has ended."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        recorded.export_chrome_trace(str(path))
        return json.loads(path.read_text())["traceEvents"]


Counts = tuple[float | None, int | None, int | None]


def counts(events: Iterable[dict[str, Any]]) -> Counts:
    """Milliseconds that the device works, launches and waits; None where nothing was recorded."""
    intervals, calls = [], []
    for place, event in enumerate(events):
        category = event.get("cat")
        if category in _ON_DEVICE:
            intervals.append((event["ts"], event["ts"] + event["dur"]))
        elif category in _CALLS:
            number = event.get("args", {}).get("correlation", f"event {place}")
            calls.append((event["name"], number))
    if not calls:
        return None, None, None
    # By number, as one may be told twice: a call of the runtime, and of the driver within.
    launches = {number for name, number in calls if name.startswith(_LAUNCHES)}
    waits = {
        number for name, number in calls if name.startswith(_WAITS) or name in _BLOCKING_COPIES
    }
    return _covered(intervals) / 1e3, len(launches), len(waits)


def without_profiling(counted: Counts) -> Counts:
    """Less the waits of the profiler itself."""
    busy, launches, waits = counted
    return busy, launches, None if waits is None else max(waits - _waits_of_nothing(), 0)


@functools.cache
def _waits_of_nothing() -> int:
    return counts(trace(lambda: None))[2] or 0


def _covered(intervals: list[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for low, high in sorted(intervals):
        total += max(high - max(low, end), 0.0)
        end = max(end, high)
    return total


def _resident_growth_mib(way: Callable[[], object]) -> float | None:
    """Growth of the peak resident size during a call; None where the system can't tell."""
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    try:
        clear.write_text("5")  # resets the peak
    except OSError:
        return None
    start = _status_mib(status, "VmRSS")
    way()
    return max(_status_mib(status, "VmHWM") - start, 0.0)


def _status_mib(status: Path, key: str) -> float:
    line = next(line for line in status.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024
