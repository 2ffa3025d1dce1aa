from __future__ import annotations

import importlib

import pytest
import torch

from segsuite.ops._library import KERNEL_DEVICES

from .operators import requires_extension

# The modules, as functions of the same names hide them.
MODULES = [
    importlib.import_module(f"segsuite.ops.{name}")
    for name in ("batched_nms", "confusion_matrix", "conv_epilogue", "roi_align")
]


@pytest.fixture(
    params=[
        pytest.param("cpu", marks=requires_extension),
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(
                "cuda" not in KERNEL_DEVICES or not torch.cuda.is_available(),
                reason="no GPU, or the extension has no CUDA kernels",
            ),
        ),
        "reference",
    ],
)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the operators run: the kernels of a device, or the reference on the CPU."""
    torch.manual_seed(0)
    if request.param == "reference":
        for module in MODULES:
            monkeypatch.setattr(module, "has_kernels", lambda device: False)
        return "cpu"
    return request.param


@pytest.fixture
def on_kernels(device: str, request: pytest.FixtureRequest) -> bool:
    """Whether `device` stands for the extension's kernels."""
    return request.node.callspec.params["device"] != "reference"
