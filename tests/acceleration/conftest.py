"""Graphs that are pretended, and a network for them."""

import pytest
import torch

from segsuite.acceleration import cuda_graph
from tests.mock_graphs import MockGraphs

from .graphed import Network, randomise


@pytest.fixture
def graphs(monkeypatch):
    """What every model that is accelerated in the test is captured by."""
    graphs = MockGraphs()
    monkeypatch.setattr(cuda_graph, "CUDAGraphs", lambda: graphs)
    return graphs


@pytest.fixture
def model():
    torch.manual_seed(0)
    return randomise(Network()).eval()
