"""Packaging is described in pyproject.toml; this file adds the recipes and the C++/CUDA extension.

The extension is compiled against the PyTorch that is installed, under build isolation too. Whatever
it lacks - PyTorch, a compiler, nvcc - is told in one line and the installation goes on without it:
the operators then run on their PyTorch reference.

Environment:
    SEGSUITE_EXT    0 leaves the extension out.
    SEGSUITE_CUDA   auto (default): CUDA kernels for the GPUs of this machine, when it has any and
                    a fitting nvcc; 1: for every architecture below; 0: none.
    TORCH_CUDA_ARCH_LIST, CUDA_HOME, CXX, CFLAGS, LDFLAGS, MAX_JOBS: as for any PyTorch extension.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import setuptools
from setuptools import find_packages, setup

OLDEST_SETUPTOOLS = 77  # the first that reads the licence as pyproject.toml has it
OLDEST_TORCH = (2, 10)  # the first whose stable ABI has parallel_for
CUDA_ARCHITECTURES = "7.5;8.0;8.6;9.0;10.0;12.0+PTX"


def notice(text: str) -> None:
    print(f"segsuite: {text}", file=sys.stderr, flush=True)


def why_no_extension() -> str | None:
    """The reason the extension cannot be compiled here, or None when it can."""
    if os.environ.get("SEGSUITE_EXT", "1") == "0":
        return "SEGSUITE_EXT=0"
    # pip builds with none of the installed packages in sight; PyTorch's headers are among them, and
    # the extension, which keeps to PyTorch's stable ABI, works with other versions as well.
    sys.path += [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
    try:
        import torch
    except ImportError:
        return "PyTorch is not installed; install it first, then segsuite again, to have it"
    if tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST_TORCH:
        return f"PyTorch {torch.__version__} is older than {OLDEST_TORCH[0]}.{OLDEST_TORCH[1]}"
    compiler = os.environ.get("CXX", "c++").split()[0]
    if shutil.which(compiler) is None:
        return f"no C++ compiler ('{compiler}' is not on the PATH)"
    return None


def why_no_cuda() -> str | None:
    """The reason the CUDA kernels are left out, or None when they can be compiled."""
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    wanted = os.environ.get("SEGSUITE_CUDA", "auto")
    if wanted not in ("0", "1", "auto"):
        raise SystemExit(f"SEGSUITE_CUDA is '{wanted}'; it can be 0, 1 or auto")
    if wanted == "0":
        return "SEGSUITE_CUDA=0"
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is built without CUDA"
    if wanted == "auto" and not torch.cuda.is_available():
        return "no GPU is visible (SEGSUITE_CUDA=1 compiles them all the same)"
    nvcc = Path(CUDA_HOME or "", "bin", "nvcc")
    if CUDA_HOME is None or not nvcc.exists():
        return "nvcc was not found (CUDA_HOME tells where it is)"
    if not Path(CUDA_HOME, "include", "cuda_runtime_api.h").exists():
        return f"{CUDA_HOME} has no include/cuda_runtime_api.h (CUDA_HOME tells where CUDA is)"
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    release = re.search(r"release (\d+)\.\d+", text)
    if release is None or release[1] != torch.version.cuda.split(".")[0]:
        return f"{nvcc} is not of CUDA {torch.version.cuda}, PyTorch's"
    return None


def host_flags() -> list[str]:
    # The first two leave every value as it is; without them GCC will not vectorise a select.
    flags = ["-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
    flags += ["-Wall", "-Wno-psabi"]
    if platform.machine() in ("aarch64", "arm64"):
        # GCC 12's makes RoIAlign return wrong values; kernels have vectors of their own.
        flags.append("-fno-tree-slp-vectorize")
    return flags


def extension_arguments() -> dict:
    """`setup` arguments that compile csrc/ into segsuite/_C.abi3.so."""
    from torch.utils.cpp_extension import BuildExtension, CppExtension, CUDAExtension

    class OptionalBuild(BuildExtension):
        def build_extensions(self) -> None:
            """With kernels for every instruction set, else for the baseline alone, else not."""
            error = self.why_it_fails()
            if error is None:
                return
            for extension in self.extensions:
                extension.define_macros.append(("SEGSUITE_BASELINE_ONLY", None))
            notice(f"compiling for several instruction sets failed ({error}), trying one alone")
            error = self.why_it_fails()
            if error is not None:  # whatever the compiler's reason, segsuite works without
                notice(f"compiling the extension failed, installing without it: {error}")

        def why_it_fails(self) -> str | None:
            libraries = [Path(self.get_ext_fullpath(e.name)) for e in self.extensions]
            for library in libraries:
                library.unlink(missing_ok=True)
            try:
                super().build_extensions()
            except Exception as error:  # ninja's; without it setuptools reports and goes on
                return str(error) or type(error).__name__
            missing = [library.name for library in libraries if not library.exists()]
            return f"there is no {missing[0]}" if missing else None

    sources = [*Path("csrc").glob("*.cpp"), *Path("csrc/cpu").glob("*.cpp")]
    flags = ["-O3", "-DTORCH_TARGET_VERSION=0x{:02x}{:02x}000000000000".format(*OLDEST_TORCH)]
    extension_class = CppExtension
    reason = why_no_cuda()
    if reason is None:
        sources += Path("csrc/cuda").glob("*.cu")
        flags += ["-DSEGSUITE_CUDA", "-DUSE_CUDA"]
        extension_class = CUDAExtension
        if os.environ.get("SEGSUITE_CUDA") == "1":
            os.environ.setdefault("TORCH_CUDA_ARCH_LIST", CUDA_ARCHITECTURES)
    else:
        notice(f"compiling without CUDA kernels: {reason}")
    extension = extension_class(
        "segsuite._C",
        sorted(map(str, sources)),
        include_dirs=[str(Path("csrc").resolve())],
        depends=sorted(str(path) for path in Path("csrc").rglob("*.*h")),
        extra_compile_args={"cxx": flags + host_flags(), "nvcc": flags},
        optional=True,
        py_limited_api=True,
    )
    return {
        "ext_modules": [extension],
        "cmdclass": {"build_ext": OptionalBuild},
        "options": {"bdist_wheel": {"py_limited_api": "cp310"}},
    }


if int(setuptools.__version__.partition(".")[0]) < OLDEST_SETUPTOOLS:
    raise SystemExit(
        f"segsuite builds with setuptools {OLDEST_SETUPTOOLS} or newer, this is "
        f"{setuptools.__version__}: pip install --upgrade setuptools, or leave out "
        "--no-build-isolation"
    )
arguments = {
    # The recipes are a folder of the installed package; see segsuite/config/recipes.py.
    "packages": [*find_packages(include=["segsuite", "segsuite.*"]), "segsuite.configs"],
    "package_dir": {"segsuite.configs": "configs"},
    "py_modules": ["segsuite_torch"],
}
reason = why_no_extension()
if reason is None:
    arguments |= extension_arguments()
else:
    notice(f"installing without the compiled extension: {reason}")
setup(**arguments)
