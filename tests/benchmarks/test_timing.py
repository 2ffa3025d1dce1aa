"""Ways take turns, and on a GPU its events are what counts."""

from __future__ import annotations

import pytest
import timing
import torch
from timing import median_milliseconds


@pytest.mark.parametrize("repetitions", [1, 4])
def test_ways_take_turns(repetitions):
    calls = []
    ways = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    result = median_milliseconds(ways, repetitions)
    assert calls == ["a", "b"] * (1 + repetitions)  # the first warms up
    assert result.keys() == {"a", "b"} and all(ms > 0 for ms in result.values())


def test_repetitions_that_fit(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: seconds[0])

    def turns(each: float) -> int:
        calls = []

        def way() -> None:
            calls.append(0)
            seconds[0] += each

        median_milliseconds({"way": way})
        return len(calls) - 1

    assert [turns(each) for each in (10, 0.15, 0.001)] == [5, 7, 50]


class FakeGPU:
    """Its time passes where a test says so, not while the CPU does something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ms, self.cleared, self.waits = 0.0, [], 0
        monkeypatch.setattr(torch.cuda, "Event", self.event)
        monkeypatch.setattr(torch.cuda, "synchronize", self.wait)
        monkeypatch.setattr(torch, "empty", self.empty)

    def wait(self) -> None:
        self.waits += 1

    def event(self, enable_timing: bool) -> FakeEvent:
        assert enable_timing
        return FakeEvent(self)

    def empty(self, size: int, dtype: torch.dtype, device: str) -> FakeGPU:
        assert (dtype, device) == (torch.uint8, "cuda")
        self.size = size
        return self

    def zero_(self) -> None:
        self.cleared.append(self.size)
        self.ms += 1000


class FakeEvent:
    def __init__(self, gpu: FakeGPU) -> None:
        self.gpu = gpu

    def record(self) -> None:
        self.ms = self.gpu.ms

    def synchronize(self) -> None:
        self.gpu.waits += 1

    def elapsed_time(self, end: FakeEvent) -> float:
        return end.ms - self.ms


@pytest.mark.parametrize("queued", [False, True])
def test_on_a_gpu(monkeypatch, queued):
    gpu = FakeGPU(monkeypatch)
    times = iter([50, 50, 50, 7, 9, 8])  # three to warm up

    def way() -> None:
        gpu.ms += next(times)

    assert median_milliseconds({"way": way}, 3, "cuda", queued=queued) == {"way": 8}
    assert gpu.waits == 6  # before and after each
    # What it does while it waits for the launches is not measured, and more than its caches hold.
    assert len(gpu.cleared) == (3 if queued else 0)
    assert all(size >= 2**28 for size in gpu.cleared)
