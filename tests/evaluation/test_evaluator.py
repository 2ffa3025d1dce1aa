"""The evaluation loop."""

import logging

import pytest
import torch
from torch import nn

from segsuite.evaluation import DatasetEvaluator, DatasetEvaluators, evaluator, inference_on_dataset


class Recorder(DatasetEvaluator):
    """Remembers what it was called with."""

    def __init__(self, task="task", fail=False):
        self.task, self.fail, self.calls = task, fail, []

    def reset(self):
        self.calls = []

    def process(self, inputs, outputs):
        if self.fail:
            raise RuntimeError("no disk")
        self.calls.append((inputs, outputs, torch.is_inference_mode_enabled()))

    def evaluate(self):
        return {self.task: {"images": sum(len(inputs) for inputs, _, _ in self.calls)}}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
        self.frozen = nn.BatchNorm1d(1)
        self.train()
        self.frozen.eval()

    def forward(self, inputs):
        assert not any(m.training for m in self.modules())
        return [{"x": r["x"] + 1} for r in inputs]


LOADER = [[{"x": 1}, {"x": 2}], [{"x": 3}]]


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_only_the_model_is_autocast(dtype):
    class Autocast(Model):
        def forward(self, inputs):
            return [{"x": torch.is_autocast_enabled("cpu")} for _ in inputs]

    class Evaluator(Recorder):
        def process(self, inputs, outputs):
            assert not torch.is_autocast_enabled("cpu")
            super().process(inputs, outputs)

    recorder = Evaluator()
    inference_on_dataset(Autocast(), LOADER, recorder, dtype)
    assert all(x == {"x": dtype is not None} for _, outputs, _ in recorder.calls for x in outputs)


def test_every_batch_in_evaluation_mode():
    recorder = Recorder()
    recorder.calls.append("from an earlier run")
    assert inference_on_dataset(Model(), LOADER, recorder) == {"task": {"images": 3}}
    assert recorder.calls == [
        (LOADER[0], [{"x": 2}, {"x": 3}], True),
        (LOADER[1], [{"x": 4}], True),
    ]


@pytest.mark.parametrize("fail", [False, True])
def test_each_module_gets_its_mode_back(fail):
    model = Model()
    if fail:
        with pytest.raises(RuntimeError, match="no disk"):
            inference_on_dataset(model, LOADER, Recorder(fail=True))
    else:
        inference_on_dataset(model, LOADER, Recorder())
    assert model.training and model.body[1].training and not model.frozen.training


def test_a_process_without_images():
    assert inference_on_dataset(Model(), [], Recorder()) == {"task": {"images": 0}}


def test_speed_and_phases_are_logged(caplog, monkeypatch):
    monkeypatch.setattr(evaluator, "_LOG_SECONDS", -1.0)
    with caplog.at_level(logging.INFO, logger="segsuite.evaluation"):
        inference_on_dataset(Model(), LOADER, Recorder())
    first, second, summary = caplog.messages
    assert first.startswith("evaluation 1/2") and "eta 0:00:00" in first
    assert second.startswith("evaluation 2/2")
    assert summary.startswith("evaluated 3 images: ")
    for part in ("images/s", "data ", "model ", "evaluation "):
        assert part in summary


def test_evaluators_together():
    both = DatasetEvaluators([Recorder("a"), Recorder("b")])
    assert inference_on_dataset(Model(), LOADER, both) == {"a": {"images": 3}, "b": {"images": 3}}
    with pytest.raises(ValueError, match=r"two evaluators return figures for 'a'.*Recorder"):
        DatasetEvaluators([Recorder("a"), Recorder("a")]).evaluate()
