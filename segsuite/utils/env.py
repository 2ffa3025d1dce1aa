"""What is installed and in use: ``segsuite env``, or ``python -m segsuite.utils.env``.

Nothing but Python's own library is needed, so it can tell what else is missing.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import segsuite

_PACKAGES = ("torchvision", "numpy", "opencv-python", "pillow", "pycocotools", "fvcore")
_EXTRAS = ("tensorboard", "safetensors", "hotcoco", "faster-coco-eval", "timm", "gradio")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def git_revision() -> str | None:
    """The revision of the checkout that segsuite is imported from, with "+" where files differ
    from it; None where it is no checkout, or git is missing."""
    folder = os.path.dirname(segsuite.__file__)
    try:
        revision, status = (
            subprocess.run(
                ["git", "-C", folder, *command], capture_output=True, text=True, timeout=10
            )
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if revision.returncode or status.returncode:
        return None
    return revision.stdout.strip() + ("+" if status.stdout.strip() else "")


def _devices() -> list[tuple[str, str]]:
    import torch

    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build"
        return [("CUDA", f"no device (this PyTorch is {built})")]
    rows = [("CUDA", str(torch.version.cuda))]
    for i in range(torch.cuda.device_count()):
        p = torch.cuda.get_device_properties(i)
        rows.append(
            (f"GPU {i}", f"{p.name}, sm_{p.major}{p.minor}, {p.total_memory / 2**30:.0f} GiB")
        )
    return rows


def _torch_rows() -> list[tuple[str, str]]:
    try:
        import torch
    except ImportError as error:
        return [("torch", f"not there ({error}): pip install torch torchvision")]
    rows = [
        ("torch", torch.__version__),
        ("CPU", f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"),
        *_devices(),
    ]
    try:
        # The one upward import of this floor: the report says which implementation of the ops runs.
        from segsuite.ops import extension_status
    except ImportError as error:
        return [*rows, ("segsuite ops", f"not there: {error}")]
    return [*rows, ("segsuite ops", extension_status())]


def env_rows() -> list[tuple[str, str]]:
    """Names and values: versions, devices and whether the compiled operators are in use."""
    return [
        ("segsuite", f"{segsuite.__version__} in {os.path.dirname(segsuite.__file__)}"),
        ("Python", sys.version.split()[0]),
        ("system", platform.platform()),
        *_torch_rows(),
        *((name, _version(name)) for name in _PACKAGES),
        *((f"{name} (extra)", _version(name)) for name in _EXTRAS),
    ]


def collect_env() -> str:
    """`env_rows` as a table."""
    rows = env_rows()
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


if __name__ == "__main__":
    print(collect_env())
