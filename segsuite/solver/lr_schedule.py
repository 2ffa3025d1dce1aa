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
from segsuite.utils.registry import unknown_name

logger = logging.getLogger(__name__)

Schedule = Callable[[int], float]


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
        KeyError: another method.
    """
    if method == "constant":
        return lambda _: start
    if method == "linear":
        return lambda i: start + (end - start) * i / iterations
    known = ("constant", "linear")
    raise KeyError(unknown_name(method, known, "methods of SOLVER.WARMUP_METHOD"))


def build_lr_multiplier(cfg: CfgNode) -> Schedule:
    """The factor on the base learning rates at an iteration of [0, SOLVER.MAX_ITER).

    WarmupMultiStepLR and WarmupCosineLR ramp to the value that their schedule has at the end of the
    warm-up; WarmupPolyLR multiplies its schedule by a ramp to 1, as DeepLab does.

    Raises:
        KeyError: SOLVER.LR_SCHEDULER_NAME or SOLVER.WARMUP_METHOD is unknown.
        ValueError: SOLVER.STEPS does not ascend, or MAX_ITER or BASE_LR is not above 0.
    """
    solver = cfg.SOLVER
    name, max_iter, factor = solver.LR_SCHEDULER_NAME, solver.MAX_ITER, solver.WARMUP_FACTOR
    if max_iter <= 0:
        raise ValueError(f"SOLVER.MAX_ITER is {max_iter}; it must be at least 1")
    if solver.BASE_LR <= 0:
        raise ValueError(f"SOLVER.BASE_LR is {solver.BASE_LR}; it must be above 0")
    warmup_iters = min(solver.WARMUP_ITERS, max_iter)

    if name == "WarmupPolyLR":
        schedule = poly(max_iter, solver.POLY_LR_POWER, solver.POLY_LR_CONSTANT_ENDING)
        warmup = ramp(warmup_iters, solver.WARMUP_METHOD, factor, 1.0)
        return lambda i: schedule(i) * (warmup(i) if i < warmup_iters else 1.0)
    if name == "WarmupMultiStepLR":
        schedule = multi_step(_checked_steps(list(solver.STEPS), max_iter), solver.GAMMA)
    elif name == "WarmupCosineLR":
        schedule = cosine(max_iter, solver.BASE_LR_END / solver.BASE_LR)
    else:
        known = ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupPolyLR")
        raise KeyError(unknown_name(name, known, "schedules of SOLVER.LR_SCHEDULER_NAME"))
    warmup = ramp(warmup_iters, solver.WARMUP_METHOD, factor * schedule(0), schedule(warmup_iters))
    return lambda i: warmup(i) if i < warmup_iters else schedule(i)


def _checked_steps(steps: list[int], max_iter: int) -> list[int]:
    """`steps` without those that training never reaches."""
    if steps != sorted(set(steps)):
        raise ValueError(f"SOLVER.STEPS must ascend without repetition; it is {tuple(steps)}")
    reached = [step for step in steps if step < max_iter]
    if reached != steps:
        logger.warning(
            "SOLVER.STEPS %s lie at or beyond SOLVER.MAX_ITER %d and have no effect",
            steps[len(reached) :],
            max_iter,
        )
    return reached
