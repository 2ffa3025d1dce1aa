"""Building of the CUDA sources without a GPU: into the CPU emulation, and through nvcc."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.cpp_extension import include_paths

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)

_CUDA_HOME = os.environ.get("CUDA_HOME")
NVCC = str(Path(_CUDA_HOME, "bin", "nvcc")) if _CUDA_HOME else shutil.which("nvcc")
requires_nvcc = pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")


@functools.cache
def emulated(name: str) -> ctypes.CDLL:
    """The library of `tests/csrc/<name>.cpp`, compiled once for a state of the sources."""
    sources = [HERE / f"{name}.cpp", *HERE.glob("*.h"), *CSRC.rglob("*.cuh"), *CSRC.rglob("*.h")]
    digest = hashlib.sha256()
    for source in sorted(sources):
        digest.update(source.read_bytes())
    folder = Path(tempfile.gettempdir(), f"segsuite-emulation-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{name}-{digest.hexdigest()[:16]}.so"
    if not library.exists():
        partial = library.with_suffix(f".{os.getpid()}")
        flags = ["-std=c++20", "-O1", "-g", "-ffp-contract=off", "-fPIC", "-shared"]
        flags.append("-DSEGSUITE_CUDA_EMULATION")
        folders = [f"-I{path}" for path in (CSRC, HERE, *include_paths())]
        compiler = os.environ.get("CXX", "c++")
        command = [compiler, *flags, *folders, str(HERE / f"{name}.cpp"), "-o", str(partial)]
        subprocess.run(command, check=True)
        partial.rename(library)
    return ctypes.CDLL(str(library))


def pointer(tensor: torch.Tensor) -> ctypes.c_void_p:
    """The address of a tensor's first element, for a call into an emulated library."""
    return ctypes.c_void_p(tensor.data_ptr())


KINDS = ("loads", "stores", "atomics", "shared_atomics")


class Counts(ctypes.Structure):
    """What the warps of the launches asked of global memory; a sector has 32 bytes."""

    _fields_ = [
        ("requests", ctypes.c_int64),
        ("sectors", ctypes.c_int64),
        ("bytes", ctypes.c_int64),
        ("distinct_sectors", ctypes.c_int64),
    ]


@contextlib.contextmanager
def counting(library: ctypes.CDLL) -> Iterator[dict[str, Counts]]:
    """Count loads, stores and atomics of the launches within; known at the end."""
    counts = (Counts * 4)()
    result: dict[str, Counts] = {}
    library.start_counting()
    yield result
    library.stop_counting(counts)
    result.update(zip(KINDS, counts, strict=True))


def assert_compiles_without_spills(source: str) -> None:
    """Compile `tests/csrc/<source>` for every architecture and read ptxas's reports."""
    command = [NVCC, "-std=c++17", "-O3", "-fatbin", "-Xptxas=-v", f"-I{CSRC}", str(HERE / source)]
    command += [f"-gencode=arch=compute_{a},code=sm_{a}" for a in ARCHITECTURES]
    result = subprocess.run([*command, "-o", os.devnull], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    reports = re.findall(
        r"Compiling entry function '(\w+)' for '(\w+)'.*?"
        r"(\d+) bytes spill stores, (\d+) bytes spill loads",
        result.stderr,
        flags=re.DOTALL,
    )
    assert {architecture for _, architecture, _, _ in reports} == {f"sm_{a}" for a in ARCHITECTURES}
    spilling = [report for report in reports if report[2:] != ("0", "0")]
    assert not spilling, spilling
