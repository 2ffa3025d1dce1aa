"""Errors of exporters become one message with the module that they are about."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segsuite.errors import ConfigError
from segsuite.exporting.tracing import explaining


class Bessel(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j1(x)


class Graph(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Identity(), Bessel())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(x) + 1


def test_an_operator_that_onnx_does_not_have_is_named(capfd):
    graph = Graph()
    program = torch.export.export(graph, (torch.zeros(2, 3),), strict=False)
    told = pytest.raises(ConfigError, match=r"blocks\.1 \(Bessel\).*bessel_j1")
    with told as caught, explaining(graph, program):
        torch.onnx.export(program, dynamo=True)
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr().out == ""


def test_no_hooks_are_left():
    graph = Graph()
    with pytest.raises(ConfigError, match=r"Graph.*: nothing works"), explaining(graph):
        graph(torch.zeros(1))
        raise ValueError("nothing works")
    assert not any(module._forward_hooks for module in graph.modules())
