"""Timing of several ways to do the same, side by side."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable

import torch

# Where no number of repetitions is asked for, the ways take turns for about so long.
_SECONDS = 1.0
_FEWEST, _MOST = 5, 50
# On a GPU the first calls choose algorithms and fill the allocator's cache.
_WARM_UP = {"cpu": 1, "cuda": 3}
# Clearing so much keeps a GPU busy for about 0.3 ms, and leaves nothing in its caches.
_LEAD_BYTES = 2**30

Way = Callable[[], object]


def median_milliseconds(
    ways: dict[str, Way],
    repetitions: int | None = None,
    device: str = "cpu",
    *,
    queued: bool = False,
) -> dict[str, float]:
    """Run the ways by turns, so that a disturbance of the machine falls on all of them.

    Args:
        repetitions: of each; None: as many as take about a second, but 5 to 50.
        device: "cpu", or "cuda" to measure by events of the present stream.
        queued: on a GPU, have it busy with something else when a call starts, so that the time
            which the CPU takes to launch kernels does not count, and the inputs are in no cache:
            for an operator, which others come before. Otherwise the GPU is idle when a call starts:
            for what is a whole by itself.
    """
    milliseconds = _milliseconds
    if device == "cuda":
        lead = torch.empty(_LEAD_BYTES, dtype=torch.uint8, device="cuda") if queued else None
        milliseconds = functools.partial(_milliseconds_on_cuda, lead=lead)
    for _ in range(_WARM_UP[device]):
        for way in ways.values():
            way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    start = time.perf_counter()
    while not _enough(len(next(iter(times.values()))), time.perf_counter() - start, repetitions):
        for name, way in ways.items():
            times[name].append(milliseconds(way))
    return {name: statistics.median(values) for name, values in times.items()}


def _enough(done: int, seconds: float, repetitions: int | None) -> bool:
    if repetitions is not None:
        return done >= repetitions
    return done >= _MOST or (done >= _FEWEST and seconds > _SECONDS)


def _milliseconds(way: Way) -> float:
    start = time.perf_counter()
    way()
    return 1e3 * (time.perf_counter() - start)


def _milliseconds_on_cuda(way: Way, lead: torch.Tensor | None = None) -> float:
    """From when the device reaches the work until it is done, and what waits are in between."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    if lead is not None:
        lead.zero_()
    start.record()
    way()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


@functools.cache
def copy_rate(device: str) -> float:
    """Bytes that a copy from memory to memory reads and writes, a second."""
    source = torch.ones(2**30 if device == "cuda" else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    ways: dict[str, Way] = {"copy": lambda: target.copy_(source)}
    milliseconds = median_milliseconds(ways, _FEWEST, device)["copy"]
    if device == "cuda":
        torch.cuda.empty_cache()  # others may need it
    return 2e3 * source.numel() / milliseconds
