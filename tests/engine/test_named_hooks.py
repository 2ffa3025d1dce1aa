"""Hooks that HOOKS names, as a plug-in registers them."""

from __future__ import annotations

import pytest

from segsuite.engine import HOOK_REGISTRY, HookBase

from .tiny import lines, load, run, tiny_config


@HOOK_REGISTRY.register()
class StepCounter(HookBase):
    """Counts from SEED on, and goes on counting in a run that is resumed."""

    def __init__(self, cfg):
        self.steps = cfg.SEED

    def after_step(self):
        self.steps += 1
        self.trainer.storage.put_scalar("steps", self.steps, smoothing_hint=False)
        if "sem_seg/mIoU" in self.trainer.storage:
            figure, iteration = self.trainer.storage.latest()["sem_seg/mIoU"]
            self.trainer.storage.put_scalar("seen", figure + iteration, smoothing_hint=False)

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


@HOOK_REGISTRY.register()
def no_hook(cfg):
    return "a text"


@pytest.fixture
def train(tmp_path):
    def train(*opts, resume=False):
        base = ["OUTPUT_DIR", str(tmp_path), "DATALOADER.NUM_WORKERS", 0, "SOLVER.MAX_ITER", 6]
        return run(tiny_config(), [*base, "SEED", 100, *opts], resume=resume)

    return train


def test_runs_between_the_evaluation_and_what_writes(train, tmp_path):
    train("HOOKS", ("StepCounter",))
    first, last = lines(tmp_path)
    assert (first["steps"], last["steps"]) == (103, 106)
    assert "seen" not in first and last["seen"] == last["sem_seg/mIoU"] + 5
    assert load(tmp_path / "model_0000006.pth")["hooks"]["StepCounter"] == {"steps": 106}


def test_state_is_resumed(train, tmp_path):
    train("HOOKS", ("StepCounter",))
    train("HOOKS", ("StepCounter",), "SOLVER.MAX_ITER", 9, resume=True)
    assert lines(tmp_path)[-1]["steps"] == 109


def test_a_name_that_is_not_registered(train):
    with pytest.raises(KeyError, match=r"'StepCount' is not in the HOOK registry.*'StepCounter'"):
        train("HOOKS", ("StepCount",))


def test_what_is_no_hook(train):
    with pytest.raises(TypeError, match="HOOKS: 'no_hook' gave a str"):
        train("HOOKS", ("no_hook",))


def test_arguments_of_a_hook(train, tmp_path, registered):
    @registered(HOOK_REGISTRY)
    class Mark(HookBase):
        def __init__(self, cfg, *, value=1.0):
            self.value = value

        def after_step(self):
            self.trainer.storage.put_scalar("mark", self.value, smoothing_hint=False)

    train("HOOKS", ({"Mark": {"VALUE": 5.0}}, "StepCounter"))
    assert lines(tmp_path)[-1]["mark"] == 5.0 and "steps" in lines(tmp_path)[-1]
    with pytest.raises(KeyError, match=r"HOOKS: Mark has no argument VALU\. Did you mean VALUE"):
        train("HOOKS", ({"Mark": {"VALU": 5.0}},), resume=True)
    with pytest.raises(ValueError, match="HOOKS: 7 is no entry"):
        train("HOOKS", (7,), resume=True)
