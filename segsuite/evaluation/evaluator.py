"""The evaluation loop."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

import torch
from torch import nn
from tqdm import tqdm

from segsuite.acceleration import accelerated
from segsuite.utils import comm
from segsuite.utils.files import write_json
from segsuite.utils.memory import peak_memory
from segsuite.utils.phase_clock import PhaseClock

from .base import DatasetEvaluator, DatasetEvaluators

logger = logging.getLogger(__name__)

_LOG_SECONDS = 5.0
_PHASES = ("data", "model", "evaluation")


class Batches(Protocol):
    """A known number of batches, each a list of records: any loader, or a list."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[dict[str, Any]]]: ...


def inference_on_dataset(
    model: nn.Module,
    loader: Batches,
    evaluator: DatasetEvaluator | Sequence[DatasetEvaluator],
    amp_dtype: torch.dtype | None = None,
    *,
    speed_file: str | os.PathLike | None = None,
    cuda_graphs: int = 0,
) -> dict[str, dict[str, Any]]:
    """Run the model over a test loader in evaluation mode and return the evaluator's results.

    Every process runs its own share of the loader. Meanwhile the model is accelerated
    for inference (`segsuite.acceleration.accelerated`) and in evaluation mode; afterwards it is as
    before. Speed, where the time goes and the time left are logged; a bar on a terminal.

    Args:
        loader: gives batches as lists of records.
        evaluator: one, or several, whose results come in one dict.
        amp_dtype: the type that the model is autocast to; None for none.
        speed_file: gets, as JSON, this process's ``images``, ``seconds``, ``ms_per_image`` by
            phase, ``peak_memory_mib`` of the process so far (None on Windows) and
            ``peak_gpu_memory_mib``.
        cuda_graphs: CUDA graphs of the network that are kept, see
            `segsuite.acceleration.accelerate`.
    """
    if not isinstance(evaluator, DatasetEvaluator):
        evaluator = DatasetEvaluators(evaluator)
    total = len(loader)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    evaluator.reset()
    clock = PhaseClock(device, _PHASES)
    images = 0
    last_log = clock.start
    on_terminal = comm.is_main_process() and sys.stdout.isatty()
    with (
        evaluating(model),
        accelerated(model, cuda_graphs=cuda_graphs),
        torch.inference_mode(),
        tqdm(
            total=total, desc="evaluation", file=sys.stdout, leave=False, disable=not on_terminal
        ) as bar,
    ):
        for finished, inputs in enumerate(loader, 1):
            clock.lap("data")
            with torch.autocast(device.type, amp_dtype, enabled=amp_dtype is not None):
                outputs = model(inputs)
            clock.lap("model")
            evaluator.process(inputs, outputs)
            clock.lap("evaluation")
            images += len(inputs)
            bar.update()
            if time.perf_counter() - last_log > _LOG_SECONDS:
                last_log = time.perf_counter()
                speed = _speed(clock, images)
                bar.set_postfix_str(speed)
                if not on_terminal:
                    left = (last_log - clock.start) / finished * (total - finished)
                    eta = timedelta(seconds=int(left))
                    logger.info("evaluation %d/%d  %s  eta %s", finished, total, speed, eta)
    if images:
        logger.info("evaluated %d images: %s", images, _speed(clock, images))
        if speed_file is not None and comm.is_main_process():
            write_json(speed_file, _report(clock, images))
    return evaluator.evaluate()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards every module has its own mode back (frozen parts may differ)."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _report(clock: PhaseClock, images: int) -> dict[str, Any]:
    """Seconds and memory up to here."""
    phases = clock.seconds()
    cuda = torch.cuda.is_initialized()
    peak = peak_memory()
    return {
        "images": images,
        "seconds": time.perf_counter() - clock.start,
        "ms_per_image": {p: 1e3 * seconds / images for p, seconds in phases.items()},
        "peak_memory_mib": None if peak is None else peak / 2**20,
        "peak_gpu_memory_mib": torch.cuda.max_memory_allocated() / 2**20 if cuda else 0,
    }


def _speed(clock: PhaseClock, images: int) -> str:
    report = _report(clock, images)
    phases = ", ".join(f"{p} {ms:.1f}" for p, ms in report["ms_per_image"].items())
    return f"{images / report['seconds']:.1f} images/s  (ms/image: {phases})"
