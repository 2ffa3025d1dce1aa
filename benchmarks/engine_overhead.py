"""What the engine and its hooks cost: a step of `DefaultTrainer` against one of a bare loop.

    python benchmarks/engine_overhead.py [--config-file F] [--steps N] [--threads T]

Both train the model of the smoke recipe on the same batches, held in memory, and take turns step by
step, so that a change of the machine's speed meets both alike. Evaluation and checkpoints are left
out; everything else that the recipe has is in, the writing of metrics included.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import torch

from segsuite.config import load_config
from segsuite.data import build_train_loader, register_from_config
from segsuite.engine import DefaultTrainer, HookBase

ROOT = Path(__file__).resolve().parents[1]


class BareLoop(HookBase):
    """Takes a step without the engine before each step of the trainer, and times both.

    Register it first.
    """

    def __init__(self, trainer: DefaultTrainer, batches: list[list[dict]]):
        self._model = copy.deepcopy(trainer.model)
        self._optimizer = trainer.build_optimizer(trainer.cfg, self._model)
        self._batches = itertools.cycle(batches)
        self._marks: list[tuple[float, float]] = []

    def before_step(self) -> None:
        start = clocks()
        self._optimizer.zero_grad(set_to_none=True)
        losses = self._model(next(self._batches))
        sum(losses.values()).backward()
        self._optimizer.step()
        self._marks += [start, clocks()]

    def after_train(self) -> None:
        self._marks.append(clocks())

    def seconds(self, clock: int) -> tuple[list[float], list[float]]:
        """Of every step of the bare loop, and of the trainer, by one of the `clocks`."""
        gaps = [b[clock] - a[clock] for a, b in itertools.pairwise(self._marks)]
        return gaps[::2], gaps[1::2]


def clocks() -> tuple[float, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


class InMemoryTrainer(DefaultTrainer):
    batches: list[list[dict]] = []

    @classmethod
    def build_train_loader(cls, cfg, start_iter):
        return itertools.cycle(cls.batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", default=ROOT / "configs" / "smoke" / "unet_shapes.yaml")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(args.config_file, ["OUTPUT_DIR", folder, "DATASETS.TEST", "()"])
        cfg.SOLVER.MAX_ITER = args.steps
        register_from_config(cfg)
        InMemoryTrainer.batches = list(itertools.islice(build_train_loader(cfg), 8))
        trainer = InMemoryTrainer(cfg)
        bare = BareLoop(trainer, InMemoryTrainer.batches)
        bare.trainer = trainer
        trainer._hooks.insert(0, bare)
        trainer.train()

    print(f"{args.config_file}, {args.threads} thread(s), {args.steps} steps of each")
    for clock, name in enumerate(("wall clock", "CPU time")):
        # The first steps allocate memory, the last one saves the checkpoint.
        loop, engine = (values[5:-1] for values in bare.seconds(clock))
        pairs = [b / a for a, b in zip(loop, engine, strict=True)]
        print(
            f"{name:<10}  bare {1e3 * statistics.median(loop):8.2f} ms  "
            f"engine {1e3 * statistics.median(engine):8.2f} ms  "
            f"ratio of the sums {sum(engine) / sum(loop):.4f}  "
            f"median ratio of neighbours {statistics.median(pairs):.4f}"
        )


if __name__ == "__main__":
    main()
