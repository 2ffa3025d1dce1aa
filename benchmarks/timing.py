"""Timing of several ways to do the same, side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


def median_milliseconds(
    ways: dict[str, Callable[[], object]], repetitions: int, device: str = "cpu"
) -> dict[str, float]:
    """Run the ways by turns, so that a disturbance of the machine falls on all of them."""
    milliseconds = _milliseconds_on_cuda if device == "cuda" else _milliseconds
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(repetitions):
        for name, way in ways.items():
            times[name].append(milliseconds(way))
    return {name: statistics.median(values) for name, values in times.items()}


def _milliseconds(way: Callable[[], object]) -> float:
    start = time.perf_counter()
    way()
    return 1e3 * (time.perf_counter() - start)


def _milliseconds_on_cuda(way: Callable[[], object]) -> float:
    """From when the device reaches the work until it is done, and what waits are in between."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    way()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)
