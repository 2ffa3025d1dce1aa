"""Learning-rate schedules: pure functions of the iteration, so that resuming needs no state.

A schedule gives the factor on each parameter group's base learning rate, with Detectron2's meaning
of every key.
"""

from __future__ import annotations

import bisect
import logging
import math
from collections.abc import Callable

from segsuite.config import CfgNode
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.utils.registry import Registry, unknown_name

logger = logging.getLogger(__name__)

Schedule = Callable[[int], float]

# Callables (cfg) -> Schedule, by SOLVER.LR_SCHEDULER_NAME.
LR_SCHEDULE_REGISTRY = Registry("LR_SCHEDULE")


def multi_step(steps: list[int], gamma: float) -> Schedule:
    """`gamma` to the power of the number of `steps` reached."""
    return lambda iteration: gamma ** bisect.bisect_right(steps, iteration)


def cosine(max_iter: int, end: float) -> Schedule:
    """Half a cosine wave from 1 to `end` (Loshchilov & Hutter 2017, without restarts)."""
    return lambda i: end + 0.5 * (1 - end) * (1 + math.cos(math.pi * i / max_iter))


def poly(max_iter: int, power: float, constant_ending: float) -> Schedule:
    """``(1 - i / max_iter) ** power``, never below `constant_ending`."""
    return lambda i: max((1 - min(i, max_iter) / max_iter) ** power, constant_ending)


def ramp(iterations: int, method: str, start: float, end: float) -> Schedule:
    """`start` throughout ("constant"), or a straight line from `start` to `end` ("linear").

    Raises:
        UnknownNameError: another method.
    """
    if method == "constant":
        return lambda _: start
    if method == "linear":
        return lambda i: start + (end - start) * i / iterations
    known = ("constant", "linear")
    raise UnknownNameError(unknown_name(method, known, "methods of SOLVER.WARMUP_METHOD"))


def with_warmup(cfg: CfgNode, schedule: Schedule) -> Schedule:
    """`schedule` after SOLVER.WARMUP_ITERS iterations of a ramp to the value that it has there."""
    solver = cfg.SOLVER
    iterations = min(solver.WARMUP_ITERS, solver.MAX_ITER)
    start, end = solver.WARMUP_FACTOR * schedule(0), schedule(iterations)
    warmup = ramp(iterations, solver.WARMUP_METHOD, start, end)
    return lambda i: warmup(i) if i < iterations else schedule(i)


def build_lr_multiplier(cfg: CfgNode) -> Schedule:
    """The factor on the base learning rates at an iteration of [0, SOLVER.MAX_ITER).

    Raises:
        UnknownNameError: SOLVER.LR_SCHEDULER_NAME or SOLVER.WARMUP_METHOD is unknown.
        ConfigError: SOLVER.STEPS does not ascend, or MAX_ITER or BASE_LR is not above 0.
    """
    solver = cfg.SOLVER
    if solver.MAX_ITER <= 0:
        raise ConfigError(f"SOLVER.MAX_ITER is {solver.MAX_ITER}; it must be at least 1")
    if solver.BASE_LR <= 0:
        raise ConfigError(f"SOLVER.BASE_LR is {solver.BASE_LR}; it must be above 0")
    return LR_SCHEDULE_REGISTRY.get(solver.LR_SCHEDULER_NAME)(cfg)


@LR_SCHEDULE_REGISTRY.register(name="WarmupMultiStepLR")
def _warmup_multi_step(cfg: CfgNode) -> Schedule:
    steps = _checked_steps(list(cfg.SOLVER.STEPS), cfg.SOLVER.MAX_ITER)
    return with_warmup(cfg, multi_step(steps, cfg.SOLVER.GAMMA))


@LR_SCHEDULE_REGISTRY.register(name="WarmupCosineLR")
def _warmup_cosine(cfg: CfgNode) -> Schedule:
    solver = cfg.SOLVER
    return with_warmup(cfg, cosine(solver.MAX_ITER, solver.BASE_LR_END / solver.BASE_LR))


@LR_SCHEDULE_REGISTRY.register(name="WarmupPolyLR")
def _warmup_poly(cfg: CfgNode) -> Schedule:
    """Multiplied by a ramp to 1, as DeepLab does."""
    solver = cfg.SOLVER
    schedule = poly(solver.MAX_ITER, solver.POLY_LR_POWER, solver.POLY_LR_CONSTANT_ENDING)
    iterations = min(solver.WARMUP_ITERS, solver.MAX_ITER)
    warmup = ramp(iterations, solver.WARMUP_METHOD, solver.WARMUP_FACTOR, 1.0)
    return lambda i: schedule(i) * (warmup(i) if i < iterations else 1.0)


def _checked_steps(steps: list[int], max_iter: int) -> list[int]:
    """`steps` without those that training never reaches."""
    if steps != sorted(set(steps)):
        raise ConfigError(f"SOLVER.STEPS must ascend without repetition; it is {tuple(steps)}")
    reached = [step for step in steps if step < max_iter]
    if reached != steps:
        logger.warning(
            "SOLVER.STEPS %s lie at or beyond SOLVER.MAX_ITER %d and have no effect",
            steps[len(reached) :],
            max_iter,
        )
    return reached
