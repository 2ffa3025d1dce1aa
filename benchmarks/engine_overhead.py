"""What the engine and its hooks cost: a step of `DefaultTrainer` against one of a bare loop.

    python benchmarks/engine_overhead.py [--config-file F] [--steps N] [--threads T]

Both train the model of the smoke recipe on the same batches, held in memory. Two bare loops run, so
that the difference between them shows what a ratio is worth on this machine. The three take turns
step by step, in every order equally often, because a step is faster or slower after some others.
Evaluation and checkpoints are left out; everything else that the recipe has is in, the writing of
metrics included.
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
WAYS = ("bare", "bare again", "engine")
ORDERS = list(itertools.permutations(WAYS))


class BareLoop:
    """What one would write without an engine."""

    def __init__(self, trainer: DefaultTrainer, batches: list[list[dict]]):
        self.model = copy.deepcopy(trainer.model)
        self.optimizer = trainer.build_optimizer(trainer.cfg, self.model)
        self.batches = itertools.cycle(batches)

    def step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.model(next(self.batches))
        sum(losses.values()).backward()
        self.optimizer.step()


class TakeTurns(HookBase):
    """Runs steps of the bare loops before and after the trainer's, and times all of them.

    `first` is registered before all other hooks and `last` after them.
    """

    def __init__(self, loops: dict[str, BareLoop]):
        self.loops = loops
        self.seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        self.last = _Last(self)

    def before_step(self) -> None:
        order = ORDERS[self.trainer.iter % len(ORDERS)]
        turn = order.index("engine")
        self._run(order[:turn])
        self.rest = order[turn + 1 :]
        self.start = clocks()

    def after_engine(self) -> None:
        self._note("engine", self.start)
        self._run(self.rest)

    def _run(self, ways: tuple[str, ...]) -> None:
        for way in ways:
            start = clocks()
            self.loops[way].step()
            self._note(way, start)

    def _note(self, way: str, start: tuple[float, float]) -> None:
        wall, cpu = clocks()
        self.seconds[way].append((wall - start[0], cpu - start[1]))


class _Last(HookBase):
    def __init__(self, turns: TakeTurns):
        self.turns = turns

    def after_step(self) -> None:
        self.turns.after_engine()


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
    parser.add_argument("--steps", type=int, default=15 * len(ORDERS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    warm_up = len(ORDERS)
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(args.config_file, ["OUTPUT_DIR", folder, "DATASETS.TEST", "()"])
        cfg.SOLVER.MAX_ITER = warm_up + args.steps + 1
        register_from_config(cfg)
        InMemoryTrainer.batches = list(itertools.islice(build_train_loader(cfg), 8))
        trainer = InMemoryTrainer(cfg)
        turns = TakeTurns({way: BareLoop(trainer, trainer.batches) for way in WAYS[:2]})
        turns.trainer = trainer
        trainer._hooks = [turns, *trainer._hooks, turns.last]
        trainer.train()

    print(f"{args.config_file}, {args.threads} thread(s), {args.steps} steps of each; medians")
    for clock, name in enumerate(("wall clock", "CPU time")):
        # The first steps allocate memory, the last one saves the checkpoint.
        ms = {
            way: 1e3 * statistics.median(both[clock] for both in seconds[warm_up:-1])
            for way, seconds in turns.seconds.items()
        }
        bare = (ms["bare"] + ms["bare again"]) / 2
        print(
            f"{name:<10}  "
            + "".join(f"{way} {ms[way]:.2f} ms  " for way in WAYS)
            + f"engine / bare {ms['engine'] / bare:.4f}  "
            f"bare again / bare {ms['bare again'] / ms['bare']:.4f}"
        )


if __name__ == "__main__":
    main()
