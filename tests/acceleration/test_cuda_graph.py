"""Graphs of networks: on a pretended device everywhere, on a GPU where there is one."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from segsuite.acceleration import accelerate, remove_acceleration

from .graphed import check, images, load_others


@torch.inference_mode()
def test_the_third_of_a_shape_is_replayed(model, graphs):
    accelerate(model, inference=True, cuda_graphs=4)
    inputs = [images() for _ in range(5)]
    results = [check(model, x, graphs, replays=int(i > 1)) for i, x in enumerate(inputs)]
    assert graphs.captures == 1 and graphs.replays == 3
    assert model.calls == 3  # one as it is, one that warms up, one that is captured
    remove_acceleration(model)
    for x, result in zip(inputs, results, strict=True):  # each its own memory
        torch.testing.assert_close(result, model(x))


@torch.inference_mode()
def test_the_numbers_are_those_without_graphs(model, graphs):
    accelerate(model, inference=True)
    x = images()
    expected = model(x)
    accelerate(model, inference=True, cuda_graphs=4)
    for _ in range(4):
        torch.testing.assert_close(model(x), expected, rtol=0, atol=0)
    assert graphs.replays == 2


@torch.inference_mode()
def test_each_shape_layout_and_type_has_a_graph(model, graphs):
    accelerate(model, cuda_graphs=8)
    last = images(2).contiguous(memory_format=torch.channels_last)
    kinds = [images(), images(2), images(height=9), last]
    for x in kinds * 2:
        check(model, x, graphs, replays=0)
    assert graphs.captures == 4
    for x in kinds * 2:
        check(model, x, graphs, replays=1, exact=True)
    model.double()
    for i in range(3):
        check(model, images().double(), graphs, replays=int(i == 2))


@torch.inference_mode()
def test_the_graph_that_is_not_used_for_longest_goes(model, graphs):
    accelerate(model, cuda_graphs=2)
    a, b, c = images(1), images(2), images(3)
    for x in (a, a, b, b):
        check(model, x, graphs, replays=0)
    check(model, a, graphs, replays=1)
    for x in (c, c):  # in the place of b
        check(model, x, graphs, replays=0)
    assert graphs.captures == 3
    for x in (a, c):
        check(model, x, graphs, replays=1)
    check(model, b, graphs, replays=0)  # as if it came for the first time
    assert graphs.captures == 3
    check(model, b, graphs, replays=0)
    assert graphs.captures == 4


def replace_storage(model):
    model.head.weight.data = model.head.weight.data * 2


def replace_parameter(model):
    model.head.weight = nn.Parameter(model.head.weight.detach() * 2)


def change_statistics(model):
    model.body[0].norm.running_mean.add_(1)


def replace_module(model):
    model.body[1] = nn.Sigmoid().eval()


def replace_forward(model):
    model.body[1].forward = torch.tanh


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        load_others,
        replace_storage,
        replace_parameter,
        change_statistics,
        replace_module,
        replace_forward,
    ],
)
@torch.no_grad()
def test_a_changed_network_is_captured_anew(model, graphs, change, inference):
    accelerate(model, inference=inference, cuda_graphs=2)
    x = images()
    for i in range(3):
        before = check(model, x, graphs, replays=int(i == 2))
    change(model)
    for i in range(3):
        after = check(model, x, graphs, replays=int(i == 2))
    assert graphs.captures == 2
    assert not torch.allclose(before["heads"][0], after["heads"][0])


@torch.no_grad()
def test_a_network_that_changes_in_every_call_is_never_captured(model, graphs):
    accelerate(model, cuda_graphs=2)
    for _ in range(5):
        load_others(model)
        check(model, images(), graphs, replays=0)
    assert graphs.captures == 0


def test_settings_have_graphs_of_their_own(model, graphs):
    x = images()
    settings = {
        "none": nullcontext,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "deterministic": lambda: torch.backends.cudnn.flags(deterministic=True),
        "precision": lambda: torch.backends.cudnn.flags(allow_tf32=False),
    }
    modes = (torch.inference_mode, torch.no_grad)
    expected = {}
    for limit in (0, 8):
        accelerate(model, inference=True, cuda_graphs=limit)
        for i in range(4):
            for name, setting in settings.items():
                for mode in modes:
                    before = graphs.replays
                    with mode(), setting():
                        found = model(x)["heads"][0]
                    wanted = expected.setdefault((name, mode), found)
                    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
                    assert found.is_inference() == (mode is torch.inference_mode)
                    assert graphs.replays - before == int(bool(limit) and i > 1)
    assert graphs.captures == len(settings) * len(modes)
    dtypes = {name: found.dtype for (name, _), found in expected.items()}
    assert dtypes.pop("autocast") == torch.bfloat16 and set(dtypes.values()) == {torch.float32}


@torch.no_grad()
def test_cast_weights_are_not_left_behind(graphs):
    """Autocast keeps the weights that it has cast until it ends, a graph has to cast its own."""

    class Linear(nn.Module):
        graph_methods = ("maps",)

        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 4)

        def forward(self, x):
            return self.maps(x)

        def maps(self, x):
            return self.body(x)

    model, x = Linear().eval(), torch.rand(2, 4)
    accelerate(model, cuda_graphs=2)
    with torch.autocast("cpu", torch.bfloat16):
        expected = model(x)
        model(x)
        # What the capture casts is not computed: nobody but the graph may see it.
        torch.testing.assert_close(remove_and_call(model, x), expected)
    accelerate(model, cuda_graphs=2)
    for _ in range(4):
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(model(x), expected)


def remove_and_call(model, x):
    remove_acceleration(model)
    return model(x)
