"""Where the time goes: of loading data, of training steps, of an evaluation."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import nn

from segsuite.acceleration import accelerate
from segsuite.config import CfgNode
from segsuite.data import DatasetMapper, build_test_loader, build_train_loader
from segsuite.engine.amp import amp_dtype
from segsuite.engine.hooks import LRScheduler
from segsuite.engine.train_loop import HookBase, SimpleTrainer
from segsuite.evaluation import DatasetEvaluator, build_evaluator, inference_on_dataset
from segsuite.modeling import build_inference
from segsuite.runs.files import EvaluationFiles
from segsuite.solver import build_gradient_clipper, build_lr_multiplier, build_optimizer
from segsuite.utils.phase_clock import PhaseClock

_WARMUP = 3  # steps that are not counted


def benchmark_loader(cfg: CfgNode, batches: int) -> dict[str, Any]:
    """The speed of the training loader, taken as fast as it gives.

    Returns:
        ``workers``; ``first_batch_seconds`` from the start of the workers; ``images_per_second``
        of `batches` later ones; and ``ms_per_image`` of one process without others: reading the
        ``image``, its ``labels``, and ``augmentation`` with all else.
    """
    loader = build_train_loader(cfg)
    start = time.perf_counter()
    stream = iter(loader)
    next(stream)
    first = time.perf_counter() - start
    # What the workers have prepared during the first batches is not their speed.
    for _ in islice(stream, cfg.DATALOADER.NUM_WORKERS * cfg.DATALOADER.PREFETCH_FACTOR):
        pass
    start = time.perf_counter()
    images = sum(len(batch) for batch in islice(stream, batches))
    seconds = time.perf_counter() - start
    del stream  # ends the workers
    return {
        "workers": cfg.DATALOADER.NUM_WORKERS,
        "first_batch_seconds": first,
        "images_per_second": images / seconds,
        "ms_per_image": _mapper_milliseconds(cfg, loader.dataset, images),
    }


def _mapper_milliseconds(cfg: CfgNode, dataset: Any, images: int) -> dict[str, float]:
    reader = DatasetMapper(cfg, is_train=True)
    clock = PhaseClock(torch.device("cpu"), ("image", "labels", "sample"))
    for position in range(images):
        record = dataset.dataset[dataset.sampler.index(position)]
        image = reader.image_reader.read(record["file_name"])
        clock.lap("image")
        reader.read_labels(record, image.shape[:2])
        clock.lap("labels")
        dataset[position]
        clock.lap("sample")
    ms = {phase: 1e3 * seconds / images for phase, seconds in clock.seconds().items()}
    # The sample was made from the files anew.
    augmentation = max(ms["sample"] - ms["image"] - ms["labels"], 0.0)
    return {"image": ms["image"], "labels": ms["labels"], "augmentation": augmentation}


class StepTimer(HookBase):
    """Times the phases of the steps from `warmup` on. Register it first.

    Attributes:
        clock: with ``data``, ``forward``, ``backward`` (with the sum of the losses), ``optimizer``
            (with clipping) and ``hooks``, all that the trainer does between the steps.
        steps: that were timed.
    """

    trainer: SimpleTrainer

    def __init__(self, *, warmup: int):
        self._warmup = warmup
        self._before_forward = "data"
        self.clock: PhaseClock | None = None
        self.steps = 0

    def before_train(self) -> None:
        model = self.trainer.model
        self._handles = [
            model.register_forward_pre_hook(lambda *_: self._lap(self._before_forward)),
            model.register_forward_hook(lambda *_: self._lap("forward")),
        ]

    def before_step(self) -> None:
        if self.trainer.iter < self._warmup:
            return
        if self.clock is None:
            phases = ("data", "forward", "backward", "optimizer", "hooks")
            self.clock = PhaseClock(self.trainer.device, phases)
        self._lap("hooks")
        self._before_forward = "data"

    def after_backward(self) -> None:
        self._lap("backward")

    def after_step(self) -> None:
        self._lap("optimizer")
        self.steps += self.clock is not None

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _lap(self, phase: str) -> None:
        if self.clock is None:
            return
        self.clock.lap(phase)
        if phase == "forward":  # of one of several parts of the batch: its backward comes next
            self._before_forward = "backward"


def benchmark_training(cfg: CfgNode, model: nn.Module, steps: int) -> dict[str, Any]:
    """The speed of training steps, with the loader, AMP, clipping and learning rates of `cfg`.

    The model is trained; nothing is written.

    Returns:
        ``images_per_second``, and ``ms_per_step`` by phase, see `StepTimer`.
    """
    device = next(model.parameters()).device
    accelerate(model)
    trainer = SimpleTrainer(
        model=model,
        build_loader=lambda start_iter: build_train_loader(cfg, start_iter=start_iter),
        optimizer=build_optimizer(cfg, model),
        amp_dtype=amp_dtype(cfg.SOLVER.AMP, "SOLVER.AMP", device),
        accumulate_steps=cfg.SOLVER.ACCUMULATE_STEPS,
        clip_gradients=build_gradient_clipper(cfg),
    )
    timer = StepTimer(warmup=_WARMUP)
    trainer.register_hooks([timer, LRScheduler(trainer.optimizer, build_lr_multiplier(cfg))])
    trainer.train(0, _WARMUP + steps)
    assert timer.clock is not None  # there since the first step after the warm-up
    seconds = timer.clock.seconds()
    total = sum(seconds.values())
    return {
        "images_per_second": timer.steps * cfg.SOLVER.IMS_PER_BATCH / total,
        "ms_per_step": {phase: 1e3 * s / timer.steps for phase, s in seconds.items()},
    }


def benchmark_evaluation(cfg: CfgNode, model: nn.Module, images: int) -> dict[str, Any]:
    """The speed of an evaluation on the first images of the first data set of DATASETS.TEST.

    Returns:
        ``dataset`` and ``images``; ``images_per_second`` of the loop; ``ms_per_image`` waited for
        ``data``, in the ``model`` and in ``evaluation``, the evaluator's work on each image; and
        ``figures_seconds``, its work at the end.
    """
    name = cfg.DATASETS.TEST[0]
    loader = _First(build_test_loader(cfg, name), images)
    device = next(model.parameters()).device
    with tempfile.TemporaryDirectory() as folder:
        evaluator = _TimedEvaluator(build_evaluator(cfg, name, folder))
        speed_file = EvaluationFiles(folder).speed
        inference_on_dataset(
            build_inference(cfg, model),
            loader,
            evaluator,
            amp_dtype(cfg.TEST.AMP, "TEST.AMP", device),
            speed_file=speed_file,
            cuda_graphs=cfg.TEST.CUDA_GRAPHS,
        )
        speed = json.loads(speed_file.read_text())
    return {
        "dataset": name,
        "images": speed["images"],
        "images_per_second": speed["images"] / speed["seconds"],
        "ms_per_image": speed["ms_per_image"],
        "figures_seconds": evaluator.seconds,
    }


class _First:
    """The first batches of a sized loader."""

    def __init__(self, loader: Any, batches: int):
        self._loader, self._batches = loader, min(batches, len(loader))

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[dict]]:
        return islice(iter(self._loader), self._batches)


class _TimedEvaluator(DatasetEvaluator):
    """Another evaluator, with the `seconds` that its figures take at the end."""

    def __init__(self, evaluator: DatasetEvaluator):
        self._evaluator = evaluator

    def reset(self) -> None:
        self._evaluator.reset()

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        self._evaluator.process(inputs, outputs)

    def evaluate(self) -> dict[str, dict[str, Any]]:
        start = time.perf_counter()
        results = self._evaluator.evaluate()
        self.seconds = time.perf_counter() - start
        return results
