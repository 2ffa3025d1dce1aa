"""What is computed without a graph, and what is said of it."""

import copy
import logging
import pickle
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segsuite.acceleration import accelerate, accelerated

from .graphed import (
    Network,
    bool_assignment,
    bool_index,
    branch,
    check,
    host_copy,
    images,
    item,
    masked_select,
    nonzero,
    own_error,
    randomise,
    unique,
)


@contextmanager
def training(model):
    model.body[1].train()
    yield
    model.body[1].eval()


@contextmanager
def hook(model, register="register_forward_hook"):
    handle = getattr(model.body[0], register)(lambda *_: None)
    yield
    handle.remove()


def pre_hook(model):
    return hook(model, "register_forward_pre_hook")


@contextmanager
def global_hook(_, register=nn.modules.module.register_module_forward_hook):
    handle = register(lambda *_: None)
    yield
    handle.remove()


def global_pre_hook(model):
    return global_hook(model, nn.modules.module.register_module_forward_pre_hook)


@contextmanager
def compiled(model):
    model.head._compiled_call_impl = model.head._call_impl  # what nn.Module.compile sets
    yield
    model.head._compiled_call_impl = None


@pytest.mark.parametrize(
    "context, reason",
    [
        (lambda _: torch.enable_grad(), "gradients are enabled"),
        (training, "in training mode"),
        (hook, "a hook looks into it, at a Conv2d"),
        (pre_hook, "a hook looks into it, at a Conv2d"),
        (global_hook, "a hook looks into it"),
        (global_pre_hook, "a hook looks into it"),
        (compiled, "compiled by torch.compile"),
        (lambda _: FlopCounterMode(display=False), None),
    ],
)
@torch.no_grad()
def test_calls_that_are_not_replayed(model, graphs, context, reason, caplog):
    accelerate(model, cuda_graphs=2)
    x = images()
    for _ in range(3):
        model(x)
    caplog.clear()
    with caplog.at_level(logging.INFO, "segsuite"):
        for _ in range(2):
            calls = model.calls
            with context(model):
                model(x)
            assert model.calls == calls + 1
    messages = [record.getMessage() for record in caplog.records]
    if reason is None:
        assert not messages
    else:
        (message,) = messages
        assert message.startswith("Network.maps is computed without a CUDA graph: ")
        assert reason in message
    replays = graphs.replays
    model(x)
    assert graphs.captures == 1 and graphs.replays == replays + 1


@torch.no_grad()
def test_a_hook_on_the_network_as_a_whole_sees_the_same(model, graphs):
    seen = []
    model.register_forward_hook(lambda module, args, output: seen.append(output))
    accelerate(model, cuda_graphs=2)
    results = [model(images()) for _ in range(4)]
    assert graphs.replays == 2
    assert all(a is b for a, b in zip(seen, results, strict=True))


@torch.no_grad()
def test_on_a_cpu(model, caplog):
    accelerate(model, cuda_graphs=2)
    with caplog.at_level(logging.INFO, "segsuite"):
        for _ in range(4):
            model(images())
    (record,) = caplog.records
    assert "Network.maps" in record.getMessage() and "the model is on cpu" in record.getMessage()
    assert model.calls == 4


@pytest.mark.parametrize(
    "work",
    [
        item,
        branch,
        nonzero,
        bool_index,
        bool_assignment,
        masked_select,
        unique,
        host_copy,
        own_error,
    ],
)
@torch.no_grad()
def test_what_cannot_be_captured_is_computed(graphs, caplog, work):
    """And what went wrong is said once."""

    class Waiting(Network):
        def maps(self, x):
            return work(super().maps(x)["features"])

    model = randomise(Waiting()).eval()
    accelerate(model, cuda_graphs=2)
    with caplog.at_level(logging.INFO, "segsuite"):
        for _ in range(4):
            check(model, images(), graphs, replays=0)
        for _ in range(3):  # nor is another shape tried
            check(model, images(2), graphs, replays=0)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    expected = "KeyError: 'only now" if work is own_error else "waits for the device"
    assert "Waiting.maps is computed without a CUDA graph" in record.getMessage()
    assert expected in record.getMessage()
    assert graphs.captures == 0 and model.calls == 8  # one of them the capture


@torch.no_grad()
def test_graphs_go_where_memory_is_short(graphs, caplog):
    """For a batch for which there is enough without them."""

    class Large(Network):
        def maps(self, x):
            if len(x) > 2 and (len(x) > 3 or graphs.alive):
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate much")
            return super().maps(x)

    model = randomise(Large()).eval()
    accelerate(model, cuda_graphs=2)
    with pytest.raises(torch.cuda.OutOfMemoryError):  # which is not that of the graphs
        model(images(4))
    for i in range(3):
        check(model, images(), graphs, replays=int(i == 2))
    assert graphs.alive and not caplog.records
    for count in (3, 3, 1, 1):
        check(model, images(count), graphs, replays=0)
    (record,) = caplog.records
    assert record.getMessage().endswith("OutOfMemoryError: CUDA out of memory.")
    with pytest.raises(torch.cuda.OutOfMemoryError):
        model(images(4))


@torch.no_grad()
def test_errors_of_the_model_are_its_own(model, graphs):
    accelerate(model, cuda_graphs=2)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="expected input"):
            model(torch.rand(1, 5, 8, 8))
    for i in range(3):
        check(model, images(), graphs, replays=int(i == 2))


@torch.no_grad()
def test_copies_are_plain_and_the_context_ends(model, graphs):
    x = images()
    expected = model(x)
    with accelerated(model, cuda_graphs=2):
        for _ in range(3):
            model(x)
        for made in (copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
            calls, replays = model.calls, graphs.replays
            copied = made(model)
            copied.calls = 0
            copied(x)
            assert copied.calls == 1 and graphs.replays == replays and model.calls == calls
        with accelerated(model):  # without graphs, and then with them again
            calls = model.calls
            model(x)
            assert model.calls == calls + 1
        for i in range(3):
            check(model, x, graphs, replays=int(i == 2))
    assert "maps" not in vars(model) and "__getstate__" not in vars(model)
    torch.testing.assert_close(model(x), expected)


def test_a_negative_number_is_refused(model):
    with pytest.raises(ValueError, match=r"TEST\.CUDA_GRAPHS is -1; expected the number of shapes"):
        accelerate(model, cuda_graphs=-1)
