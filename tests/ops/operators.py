"""What the tests of all operators share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from segsuite.ops import EXTENSION_LOADED

requires_extension = pytest.mark.skipif(not EXTENSION_LOADED, reason="the extension is not built")


def assert_same_for_any_number_of_threads(run: Callable[[], Sequence[Tensor]]) -> None:
    """What `run` gives is the same, to the last bit, for one thread and for many."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = run()
        for number in (2, 3, 7):
            torch.set_num_threads(number)
            for result, reference in zip(run(), expected, strict=True):
                assert torch.equal(result, reference)
    finally:
        torch.set_num_threads(threads)
