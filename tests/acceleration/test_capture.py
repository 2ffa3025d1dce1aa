"""Streams and memory of captures, on a pretended `torch.cuda`."""

from contextlib import contextmanager

import pytest
import torch

from segsuite.acceleration import capture


class StubbedCUDA:
    """Stands in for streams and captures of `torch.cuda`, and notes what is done with them."""

    device = torch.device("cuda", 0)

    def __init__(self, monkeypatch):
        self.log, self.broken = [], False
        self.default = self.current = self.Stream("default", self)
        self.made = 0
        cuda = {
            "Stream": lambda device: self.new_stream(),
            "current_stream": lambda device=None: self.current,
            "stream": self.stream,
            "graph_pool_handle": lambda: self.log.append("new pool") or object(),
            "CUDAGraph": lambda: self.Graph(self),
            "graph": self.graph,
        }
        for name, value in cuda.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(
            torch._C,
            "_cuda_endAllocateToPool",
            lambda index, pool: self.log.append(f"allocator {index}"),
        )

    class Stream:
        def __init__(self, name, cuda):
            self.name, self.device, self.cuda = name, cuda.device, cuda

        def wait_stream(self, other):
            self.cuda.log.append(f"{self.name} waits for {other.name}")

    class Graph:
        def __init__(self, cuda):
            self.cuda = cuda

        def replay(self):
            self.cuda.log.append("replay")

    def new_stream(self):
        self.made += 1
        return self.Stream(f"side{self.made}", self)

    @contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    def graph(self, graph, *, pool, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"  # loaders pin memory meanwhile
        cuda = self

        class Capturing:
            def __enter__(self):
                cuda.current = stream
                cuda.log.append("capture")

            def __exit__(self, *error):
                if cuda.broken:  # and the stream stays as it is, as in PyTorch
                    cuda.current = cuda.Stream("lost", cuda)
                    raise RuntimeError("capture was invalidated")

        return Capturing()


def test_streams_and_memory(monkeypatch):
    """What is captured runs between what the stream was given before and what it is given later,
    and graphs share memory for as long as there is one."""
    cuda = StubbedCUDA(monkeypatch)
    graphs = capture.CUDAGraphs()

    def captured():
        with graphs.turn(cuda.device), graphs.aside(cuda.device):
            assert cuda.current.name == "side1"
            return graphs.capture(lambda: "result")

    replay, result = captured()
    assert result == "result" and cuda.current is cuda.default
    replay()
    others, _ = captured()
    waits = ["side1 waits for default", "capture", "default waits for side1"]
    assert cuda.log == [waits[0], "new pool", *waits[1:], "replay", *waits]
    del replay, others
    cuda.log.clear()
    kept = captured()
    assert cuda.log == [waits[0], "new pool", *waits[1:]]
    cuda.log.clear()
    other = cuda.Stream("other", cuda)
    for stream in (cuda.default, other, other, cuda.default):
        with cuda.stream(stream), graphs.turn(cuda.device):
            kept[0]()
    assert cuda.log == [
        *("replay", "other waits for default", "replay", "replay"),
        *("default waits for other", "replay"),
    ]


def test_a_broken_capture_leaves_nothing_behind(monkeypatch):
    cuda = StubbedCUDA(monkeypatch)
    graphs = capture.CUDAGraphs()

    def fail():
        cuda.broken = True
        raise ValueError("the operator")

    with (
        pytest.raises(RuntimeError, match="invalidated") as error,
        graphs.turn(cuda.device),
        graphs.aside(cuda.device),
    ):
        graphs.capture(fail)
    assert isinstance(error.value.__context__, ValueError)  # which is what is logged
    assert cuda.current is cuda.default
    assert cuda.log[-2:] == ["allocator 0", "default waits for side1"]


def test_what_cuda_can_capture():
    obstacle = capture.CUDAGraphs().obstacle
    assert "the model is on cpu" in obstacle([torch.ones(1)])
    assert "the model is on meta" in obstacle([torch.ones(1, device="meta")])
