from __future__ import annotations

import json
import sys
import weakref

import pytest
import torch

from segsuite.utils import comm, writers
from segsuite.utils.events import EventStorage, get_event_storage
from segsuite.utils.writers import ConsoleWriter, JSONWriter, TensorboardWriter


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def fetched(monkeypatch):
    """How many tensors each fetch has brought."""
    sizes, mean = [], comm.all_reduce_mean

    def all_reduce_mean(tensor):
        sizes.append(tensor.numel())
        return mean(tensor)

    monkeypatch.setattr(comm, "all_reduce_mean", all_reduce_mean)
    return sizes


class TestEventStorage:
    def test_latest_has_value_and_iteration(self):
        storage = EventStorage(5)
        storage.put_scalar("loss", torch.tensor(2.0))
        storage.iter = 6
        storage.put_scalars(lr=0.5, loss=torch.tensor([3.0]))
        assert storage.latest() == {"loss": (3.0, 6), "lr": (0.5, 6)}
        assert storage.history("loss") == [(5, 2.0), (6, 3.0)]

    def test_tensors_are_fetched_together_when_somebody_reads(self, fetched):
        storage = EventStorage()
        storage.put_scalars(loss_a=torch.tensor(1.0), loss_b=torch.tensor(2.0), lr=0.1)
        assert fetched == []
        storage.latest()
        storage.history("loss_a")
        assert fetched == [2]

    def test_tensors_do_not_pile_up_without_a_reader(self, fetched):
        storage = EventStorage(keep=10)
        for _ in range(10_001):
            storage.put_scalar("loss", torch.ones(()))
        assert fetched == [10_000]
        assert storage.history("loss") == [(0, 1.0)] * 10

    def test_the_graph_of_a_loss_is_not_kept(self):
        class Saved:
            """What autograd keeps for the backward pass."""

            def __init__(self, tensor):
                kept.append(weakref.ref(self))

        kept, storage = [], EventStorage()
        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: None):
            loss = torch.ones((), requires_grad=True).exp()
        storage.put_scalar("loss", loss)
        assert kept[0]() is not None
        del loss
        assert kept[0]() is None

    def test_a_tensor_changed_later_in_another_dtype_is_fetched_as_float(self):
        storage = EventStorage()
        storage.put_scalar("a", torch.tensor(1.5, dtype=torch.bfloat16))
        storage.put_scalar("b", torch.tensor(2.5, dtype=torch.float64))
        assert storage.latest() == {"a": (1.5, 0), "b": (2.5, 0)}

    def test_median_of_the_window_and_the_hint(self):
        storage = EventStorage()
        for i, value in enumerate([100.0, 1.0, 9.0, 2.0]):
            storage.iter = i
            storage.put_scalar("loss", value)
            storage.put_scalar("lr", value, smoothing_hint=False)
        assert storage.smoothed("loss", 3) == 2.0
        assert storage.latest_with_smoothing_hint(3) == {"loss": (2.0, 3), "lr": (2.0, 3)}
        assert storage.latest_with_smoothing_hint(4)["loss"] == (5.5, 3)

    def test_state_survives(self):
        storage = EventStorage()
        storage.put_scalar("lr", 0.1, smoothing_hint=False)
        storage.put_scalar("loss", torch.tensor(2.0))
        other = EventStorage(1)
        other.load_state_dict(storage.state_dict())
        assert other.latest() == storage.latest()
        assert other.latest_with_smoothing_hint(1) == storage.latest_with_smoothing_hint(1)
        assert "lr" in other and "mIoU" not in other


class TestJSONWriter:
    def run(self, path, start, stop, period=2):
        storage = EventStorage(start)
        writer = JSONWriter(path)
        writer.open(start_iter=start, max_iter=stop)
        for i in range(start, stop):
            storage.iter = i
            storage.put_scalar("loss", torch.tensor(float(i)))
            if i % 3 == 2:
                storage.put_scalar("mIoU", 10.0 * i, smoothing_hint=False)
            if (i + 1) % period == 0:
                writer.write(storage, window=period)
        writer.close()

    def test_a_line_for_every_iteration_that_has_figures(self, tmp_path):
        path = tmp_path / "metrics.json"
        self.run(path, 0, 4)
        assert lines(path) == [
            {"iteration": 1, "loss": 0.5},
            {"iteration": 2, "mIoU": 20.0},
            {"iteration": 3, "loss": 2.5},
        ]

    def test_resuming_drops_later_lines_and_a_half_written_one(self, tmp_path):
        path, whole = tmp_path / "metrics.json", tmp_path / "whole.json"
        self.run(whole, 0, 8)
        self.run(path, 0, 6)
        with path.open("a") as f:
            f.write('{"iteration": 6, "lo')
        self.run(path, 4, 8)
        assert path.read_text() == whole.read_text()

    def test_what_is_not_finite_is_null(self, tmp_path):
        storage = EventStorage()
        storage.put_scalar("IoU-car", float("nan"))
        writer = JSONWriter(tmp_path / "metrics.json")
        writer.open(start_iter=0, max_iter=1)
        writer.write(storage, window=1)
        writer.close()
        assert lines(tmp_path / "metrics.json") == [{"iteration": 0, "IoU-car": None}]

    def test_a_new_run_starts_an_empty_file(self, tmp_path):
        path = tmp_path / "metrics.json"
        self.run(path, 0, 4)
        self.run(path, 0, 0)
        assert path.read_text() == ""


class TestTensorboardWriter:
    def test_writes_scalars_and_hides_what_a_resumed_run_writes_again(self, tmp_path):
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        for start in (0, 2):
            storage = EventStorage(start)
            writer = TensorboardWriter(tmp_path)
            writer.open(start_iter=start, max_iter=4)
            for i in range(start, 4):
                storage.iter = i
                storage.put_scalar("loss", float(start))
                writer.write(storage, window=1)
            writer.close()
        accumulator = EventAccumulator(str(tmp_path)).Reload()
        assert [(e.step, e.value) for e in accumulator.Scalars("loss")] == [
            (0, 0.0),
            (1, 0.0),
            (2, 2.0),
            (3, 2.0),
        ]

    def test_says_so_without_the_package(self, tmp_path, monkeypatch, caplog):
        monkeypatch.setattr(writers.logger, "propagate", True)
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
        with caplog.at_level("INFO"):
            writer = TensorboardWriter(tmp_path)
            writer.open(start_iter=0, max_iter=1)
        writer.write(EventStorage(), window=1)
        writer.close()
        assert "pip install tensorboard" in caplog.text


class TestConsoleWriter:
    def write(self, **figures):
        storage = EventStorage(9)
        storage.put_scalars(**figures)
        writer = ConsoleWriter()
        writer.open(start_iter=0, max_iter=100)
        writer.write(storage, window=1)
        writer.close()

    @pytest.fixture(autouse=True)
    def messages(self, caplog):
        caplog.set_level("INFO", "segsuite")
        writers.logger.addHandler(caplog.handler)
        yield caplog
        writers.logger.removeHandler(caplog.handler)

    def test_line_with_loss_speed_and_time_left(self, messages):
        self.write(total_loss=0.25, loss_sem_seg=0.25, lr=0.01, time=2.0, data_time=0.5)
        assert "iter 10/100  total_loss 0.25  lr 0.01  2.000 s/iter (data 0.500)  eta 0:03:00" in (
            messages.text
        )
        assert "loss_sem_seg" not in messages.text

    def test_several_losses_are_all_shown(self, messages):
        self.write(total_loss=3.0, loss_a=1.0, loss_b=2.0)
        assert "total_loss 3  loss_a 1  loss_b 2" in messages.text

    def test_progress_bar_on_a_terminal(self, monkeypatch, capsys):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        self.write(total_loss=0.25)
        shown = capsys.readouterr().out
        assert "10/100" in shown and "loss 0.25" in shown


class TestPresentStorage:
    def test_is_that_of_the_innermost_block(self):
        with EventStorage(7) as outer:
            assert get_event_storage() is outer and outer.iter == 7
            with EventStorage() as inner:
                get_event_storage().put_scalar("a", 1.0)
            assert "a" in inner and "a" not in outer
            assert get_event_storage() is outer

    def test_there_is_none_outside(self):
        with pytest.raises(RuntimeError, match="no training is going on"):
            get_event_storage()
        with pytest.raises(ZeroDivisionError), EventStorage():
            _ = 1 / 0
        with pytest.raises(RuntimeError, match="no training is going on"):
            get_event_storage()
