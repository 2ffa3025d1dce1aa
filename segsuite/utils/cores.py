"""How many processor cores there are for this process."""

from __future__ import annotations

import os


def available_cores() -> int:
    """The cores that this process may use, where the system tells, else those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
