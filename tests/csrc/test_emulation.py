"""The CUDA emulation itself: barriers, shuffles, shared memory, atomics."""

from __future__ import annotations

import pytest
import torch

from tests.csrc.emulation import emulated, pointer
from tests.processes import run_python


@pytest.mark.parametrize("n", [1, 64, 200, 1000])
def test_sum_uses_shuffles_shared_memory_and_atomics(n):
    x = torch.randint(-9, 9, (n,)).float()
    total = torch.zeros(1)
    emulated("emulation_check").sum(pointer(x), n, pointer(total))
    assert total.item() == x.sum().item()


def test_barrier_orders_shared_memory():
    x, out = torch.arange(96, dtype=torch.int32), torch.empty(96, dtype=torch.int32)
    emulated("emulation_check").reverse(pointer(x), 96, pointer(out))
    assert out.tolist() == x.flip(0).tolist()


def test_ballot_gathers_one_bit_a_lane():
    x = torch.randint(0, 2, (32,), dtype=torch.int32)
    out = torch.empty(32, dtype=torch.int64).to(torch.int32)
    emulated("emulation_check").ballot(pointer(x), pointer(out))
    expected = sum(int(bit) << lane for lane, bit in enumerate(x.tolist()))
    assert [value & 0xFFFFFFFF for value in out.tolist()] == [expected] * 32


def test_divergent_barrier_is_an_error():
    emulated("emulation_check")
    code = "from tests.csrc.emulation import emulated; emulated('emulation_check').divergent()"
    result = run_python("-c", code)
    assert result.returncode != 0
    assert "a barrier is not reached by every thread" in result.stderr
