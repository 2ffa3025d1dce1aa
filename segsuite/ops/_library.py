"""Loading of the compiled extension, and which devices its kernels serve."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

_LIBRARY = Path(__file__).parent.parent / "_C.abi3.so"

# What csrc/library.cpp declares. A library without one of them was built from other sources.
_OPERATORS = (
    "confusion_matrix",
    "confusion_matrix_from_logits",
    "argmax_from_logits",
    "batched_nms",
    "conv_epilogue_",
    "roi_align",
    "roi_align_backward",
    "multilevel_roi_align",
    "multilevel_roi_align_backward",
    "resize_window",
)
_HOW_TO_BUILD = "installing segsuite again builds it, or `pip install -v` says why it cannot"


def load_extension(library: Path) -> str | None:
    """Load the extension into PyTorch; the reason it could not be, or None."""
    if not library.exists():
        return f"it is not built ({_HOW_TO_BUILD})"
    try:
        torch.ops.load_library(library)
    except OSError as error:
        return f"it does not load into PyTorch {torch.__version__}: {error}"
    missing = [name for name in _OPERATORS if not hasattr(torch.ops.segsuite, name)]
    if missing:
        return f"it is older than segsuite and lacks {', '.join(missing)} ({_HOW_TO_BUILD})"
    return None


_WHY_NOT_LOADED = load_extension(_LIBRARY)
EXTENSION_LOADED = _WHY_NOT_LOADED is None


def _devices() -> frozenset[str]:
    if not EXTENSION_LOADED:
        return frozenset()
    has_cuda = torch._C._dispatch_has_kernel_for_dispatch_key(
        "segsuite::argmax_from_logits", "CUDA"
    )
    return frozenset({"cpu", "meta"} | ({"cuda"} if has_cuda else set()))


KERNEL_DEVICES = _devices()
_warned: set[str] = set()


def extension_status() -> str:
    """One line for people: how the extension in use was built, or why none is in use."""
    if EXTENSION_LOADED:
        return f"in use ({torch.ops.segsuite.build_info()})"
    return f"not in use: {_WHY_NOT_LOADED}"


def has_kernels(device: torch.device) -> bool:
    """Whether the extension's kernels run on `device`; the first "no" of each kind warns once."""
    if device.type in KERNEL_DEVICES:
        return True
    if not torch.compiler.is_compiling() and device.type not in _warned:
        _warned.add(device.type)
        warnings.warn(
            f"segsuite's operators run on '{device.type}' through their PyTorch reference, which "
            f"is slower: the compiled extension is {extension_status()}",
            stacklevel=3,
        )
    return False
