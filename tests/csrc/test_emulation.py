"""The CUDA emulation itself: barriers, shuffles, shared memory, atomics."""

from __future__ import annotations

import pytest
import torch

from tests.csrc.emulation import counting, emulated, pointer
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


@pytest.mark.parametrize("step, sectors", [(1, 8), (2, 16), (8, 64)])
def test_sectors_of_a_warp_are_counted_once_a_request(step, sectors):
    memory = torch.zeros(2, 1024)  # aligned, each row too
    x, out = memory
    with counting(emulated("emulation_check")) as counts:
        emulated("emulation_check").copy(pointer(x), pointer(out), step)
    for kind in ("loads", "stores"):
        of = counts[kind]
        assert (of.requests, of.sectors, of.bytes) == (2, sectors, 256)
        assert of.distinct_sectors == sectors
    assert counts["atomics"].requests == 0


def test_divergent_barrier_is_an_error():
    emulated("emulation_check")
    code = "from tests.csrc.emulation import emulated; emulated('emulation_check').divergent()"
    result = run_python("-c", code)
    assert result.returncode != 0
    assert "a barrier is not reached by every thread" in result.stderr
