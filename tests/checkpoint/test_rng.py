import random

import numpy as np
import pytest
import torch

from segsuite.checkpoint import get_rng_state, set_rng_state


def draw():
    return [
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        torch.rand(1).item(),
        torch.randn(3).tolist(),
    ]


@pytest.fixture(autouse=True)
def other_tests_see_no_change():
    before = get_rng_state()
    yield
    set_rng_state(before)


@pytest.mark.parametrize("drawn_before", [0, 1, 700])
def test_round_trip_through_a_file(tmp_path, drawn_before):
    for _ in range(drawn_before):
        draw()
    torch.save(get_rng_state(), tmp_path / "rng.pth")
    expected = [draw() for _ in range(3)]
    draw()
    set_rng_state(torch.load(tmp_path / "rng.pth", weights_only=True))
    assert [draw() for _ in range(3)] == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda():
    torch.rand(1, device="cuda")
    state = get_rng_state()
    expected = torch.rand(3, device="cuda")
    set_rng_state(state)
    assert torch.equal(torch.rand(3, device="cuda"), expected)
