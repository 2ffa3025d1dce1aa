"""A network whose method can be replayed, and what a test does with it."""

import copy

import pytest
import torch
from torch import nn

from segsuite.layers import Conv2d

requires_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Network(nn.Module):
    """Pixels to two maps, by a method that can be replayed."""

    graph_methods = ("maps",)

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Conv2d(3, 4, 3, norm="BN"), nn.ReLU(), nn.Linear(8, 8))
        self.head = nn.Conv2d(4, 1, 1)
        self.calls = 0

    def forward(self, x):
        return self.maps(x)

    def maps(self, x):
        self.calls += 1
        features = self.body(x)
        return {"features": features, "heads": [self.head(features), features[:, 0]]}


def randomise(model):
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            nn.init.uniform_(value, 0.5 if name.endswith("running_var") else -0.5, 1)
    return model


def images(count=1, height=8):
    return torch.rand(count, 3, height, 8)


def check(model, x, graphs, *, replays, exact=False):
    """The model's result is that of a plain one; whether it comes from a graph."""
    before = graphs.replays
    found = model(x)
    plain = copy.deepcopy(model)
    assert graphs.replays - before == replays
    tolerance = {"rtol": 0, "atol": 0} if exact else {}
    torch.testing.assert_close(found, plain(x), **tolerance)
    return found


def load_others(model):
    model.load_state_dict({k: v * 0.5 for k, v in model.state_dict().items()})


def item(x):
    return x * float(x.sum() > 0)


def branch(x):
    return x if x.mean() > -1 else -x


def nonzero(x):
    return x.flatten()[(x.flatten() > 0).nonzero()[:, 0]]


def bool_index(x):
    return x[x > 0]


def bool_assignment(x):
    x = x.clone()
    x[x > 0.5] = 0
    return x


def masked_select(x):
    return x.masked_select(x > 0)


def unique(x):
    return (x * 4).round().unique()


def host_copy(x):
    return x + x.to("meta").numel()


def own_error(x):
    if torch._C._len_torch_dispatch_stack():
        raise KeyError("only now and then")
    return x
