"""How much memory there is left, and how much was used."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

import torch

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_M_MMAP_THRESHOLD = -3  # of malloc.h; to set it stops glibc from raising it
_CGROUPS = Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> int | None:
    """The bytes that this process can still have on a device; None where nothing tells.

    Of a GPU what is free, and what PyTorch keeps for later. Of the CPU what Linux calls available,
    or what is left of the control group's (version 2) limit, as containers and job schedulers set
    it.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != "cpu":
        return None
    left = [_available(), *map(_left_of_group, _groups())]
    return min((n for n in left if n is not None), default=None)


def peak_memory() -> int | None:
    """The most bytes of memory that this process has had so far; None where nothing tells."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def return_memory() -> None:
    """Keep the memory of a process flat that computes on images of many sizes, for days.

    Call it before anything is computed. glibc comes to keep freed blocks of the sizes that it has
    seen, and what lies between them adds up: what is large is given back at once. On CPUs PyTorch
    keeps what it has prepared for the last 1024 shapes of convolutions, on top of oneDNN's kernels,
    which stay: of one.
    """
    os.environ.setdefault("LRU_CACHE_CAPACITY", "1")
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 17)


def _available() -> int | None:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def _groups() -> list[Path]:
    """The control group of this process, and those that it is in."""
    for line in _read("/proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            path = _CGROUPS / line[len("0::/") :]
            return [p for p in (path, *path.parents) if p.is_relative_to(_CGROUPS)]
    return []


def _left_of_group(group: Path) -> int | None:
    limit, used = _read(group / "memory.max").strip(), _read(group / "memory.current").strip()
    if not limit.isdigit() or not used.isdigit():
        return None  # "max", or no such file
    stat = dict(line.split() for line in _read(group / "memory.stat").splitlines())
    return int(limit) - int(used) + int(stat.get("inactive_file", 0))  # files can be dropped


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
