"""Loading of the extension, and operation without it."""

from __future__ import annotations

import warnings

import pytest
import torch

from segsuite.ops import _library, confusion_matrix, extension_status
from tests.processes import ForkedProcess


def test_status_says_what_is_in_use():
    status = extension_status()
    if _library.EXTENSION_LOADED:
        assert status.startswith("in use (")
        assert "headers" in status
    else:
        assert status.startswith("not in use: ")


def test_missing_library_is_a_reason(tmp_path):
    assert "not built" in _library.load_extension(tmp_path / "_C.abi3.so")


def test_broken_library_is_a_reason(tmp_path):
    broken = tmp_path / "_C.abi3.so"
    broken.write_bytes(b"no library")
    assert "does not load into PyTorch" in _library.load_extension(broken)


def test_reference_serves_after_one_warning():
    # In a process of its own, which no operator has warned yet.
    ForkedProcess(count_without_kernels).result()


def count_without_kernels():
    _library.KERNEL_DEVICES = frozenset()
    labels = torch.tensor([0, 1, 1])
    with pytest.warns(UserWarning, match="PyTorch reference, which is slower") as caught:
        assert confusion_matrix(labels, labels, 2).tolist() == [[1, 0, 0], [0, 2, 0], [0, 0, 0]]
    assert caught[0].filename == __file__  # the caller's line, not segsuite's
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        confusion_matrix(labels, labels, 2)
