import torch

from segsuite.utils import phase_clock
from segsuite.utils.phase_clock import PhaseClock


def test_each_phase_has_the_time_since_the_lap_before(monkeypatch):
    now = iter([0.0, 0.0, 1.0, 3.0, 7.0, 15.0])
    monkeypatch.setattr(phase_clock.time, "perf_counter", lambda: next(now))
    clock = PhaseClock(torch.device("cpu"), ("data", "model", "never"))
    clock.lap("data")
    clock.lap("model")
    assert clock.seconds() == {"data": 1, "model": 2, "never": 0}
    clock.lap("data")
    clock.lap("model")
    assert clock.seconds() == {"data": 5, "model": 10, "never": 0}
    assert clock.seconds() == {"data": 5, "model": 10, "never": 0}
