"""Timing of several ways to do the same, side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def median_milliseconds(
    ways: dict[str, Callable[[], object]], repetitions: int
) -> dict[str, float]:
    """Run the ways by turns, so that a disturbance of the machine falls on all of them."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(repetitions):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}
