import pytest

from segsuite.config import load_config
from segsuite.engine import DefaultTrainer, HookBase
from segsuite.profiling.benchmark import (
    StepTimer,
    benchmark_evaluation,
    benchmark_loader,
    benchmark_training,
)
from segsuite.utils import phase_clock
from tests.engine.tiny import tiny_config
from tests.engine.toy import batches, toy_trainer
from tests.helpers import REPO


@pytest.mark.parametrize("parts", [1, 2])
def test_phases_of_a_step(monkeypatch, parts):
    """Every part of a step lets a clock of ours run on by an amount of its own."""
    now = 0

    def passes(seconds):
        nonlocal now
        now += seconds

    class Busy(HookBase):
        def after_step(self):
            passes(10_000)

    def slow_batches(start_iter):
        for batch in batches(start_iter):
            passes(1)
            yield batch

    monkeypatch.setattr(phase_clock.time, "perf_counter", lambda: now)
    trainer = toy_trainer(build_loader=slow_batches, accumulate_steps=parts)
    layers = trainer.model.layers
    layers.register_forward_hook(lambda *_: passes(10))
    layers[0].weight.register_hook(lambda _: passes(100))  # when its gradient is there
    trainer.optimizer.register_step_post_hook(lambda *_: passes(1000))
    timer = StepTimer(warmup=2)
    trainer.register_hooks([timer, Busy()])
    trainer.train(0, 5)
    assert timer.steps == 3
    assert timer.clock.seconds() == {
        "data": 3,
        "forward": 30 * parts,
        "backward": 300 * parts,
        "optimizer": 3000,
        "hooks": 20_000,  # those after the last step are not waited for
    }


def config(name, *overrides):
    path = tiny_config() if name == "tiny" else REPO / "configs" / "smoke" / f"{name}.yaml"
    small = ["MODEL.DEVICE", "cpu", "SOLVER.IMS_PER_BATCH", 2, "DATALOADER.NUM_WORKERS", 1]
    return load_config(path, [*small, *overrides])


def check(figures, breakdown, phases):
    assert figures["images_per_second"] > 0
    assert list(figures[breakdown]) == phases
    assert all(ms >= 0 for ms in figures[breakdown].values())
    return sum(figures[breakdown].values())


@pytest.mark.parametrize("name", ["tiny", "mask_rcnn_shapes"])
def test_real_recipes(name, datasets_root):
    if name == "tiny":
        from segsuite.data import register_from_config

        register_from_config(config("tiny"))
    cfg = config(name)
    loader = benchmark_loader(cfg, 2)
    assert loader["workers"] == 1 and loader["first_batch_seconds"] > 0
    assert check(loader, "ms_per_image", ["image", "labels", "augmentation"]) > 0

    model = DefaultTrainer.build_model(cfg)
    evaluation = benchmark_evaluation(cfg, model, 3)
    assert evaluation["dataset"] == cfg.DATASETS.TEST[0] and evaluation["images"] == 3
    ms = check(evaluation, "ms_per_image", ["data", "model", "evaluation"])
    assert ms <= 1e3 / evaluation["images_per_second"]
    assert evaluation["figures_seconds"] > 0

    training = benchmark_training(cfg, model, 2)
    phases = ["data", "forward", "backward", "optimizer", "hooks"]
    ms = check(training, "ms_per_step", phases)
    assert training["images_per_second"] == pytest.approx(2e3 / ms)
    assert training["ms_per_step"]["forward"] > 0 and training["ms_per_step"]["backward"] > 0
