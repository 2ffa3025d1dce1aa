"""Building of the CUDA sources without a GPU: into the CPU emulation, and through nvcc."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch
from torch.utils.cpp_extension import include_paths

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"
ARCHITECTURES = (75, 80, 86, 90, 100, 120)

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
        flags = ["-std=c++20", "-O1", "-g", "-fPIC", "-shared", "-DSEGSUITE_CUDA_EMULATION"]
        folders = [f"-I{path}" for path in (CSRC, HERE, *include_paths())]
        compiler = os.environ.get("CXX", "c++")
        command = [compiler, *flags, *folders, str(HERE / f"{name}.cpp"), "-o", str(partial)]
        subprocess.run(command, check=True)
        partial.rename(library)
    return ctypes.CDLL(str(library))


def pointer(tensor: torch.Tensor) -> ctypes.c_void_p:
    """The address of a tensor's first element, for a call into an emulated library."""
    return ctypes.c_void_p(tensor.data_ptr())


def assert_compiles_without_spills(source: str, architecture: int) -> None:
    """Compile `tests/csrc/<source>` with nvcc and read ptxas's report on every kernel in it."""
    command = [NVCC, "-std=c++17", "-O3", "-cubin", "-Xptxas=-v", f"-arch=sm_{architecture}"]
    command += [f"-I{CSRC}", str(HERE / source), "-o", os.devnull]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", result.stderr)
    assert spills, result.stderr
    assert all(pair == ("0", "0") for pair in spills), result.stderr
