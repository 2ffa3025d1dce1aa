import math

import pytest
from fvcore.common import param_scheduler as reference

from segsuite.config import get_cfg
from segsuite.solver import LR_SCHEDULE_REGISTRY, build_lr_multiplier, with_warmup


def multiplier(**solver):
    cfg = get_cfg()
    for key, value in solver.items():
        cfg.SOLVER[key] = value
    return build_lr_multiplier(cfg)


COMMON = {"MAX_ITER": 100, "WARMUP_ITERS": 10, "WARMUP_FACTOR": 0.1, "BASE_LR": 0.5}


def test_multi_step():
    lr = multiplier(LR_SCHEDULER_NAME="WarmupMultiStepLR", STEPS=(40, 80), GAMMA=0.1, **COMMON)
    assert [lr(i) for i in (0, 5, 9)] == pytest.approx([0.1, 0.55, 0.91])
    assert [lr(i) for i in (10, 39)] == [1.0, 1.0]
    assert [lr(i) for i in (40, 79)] == pytest.approx([0.1, 0.1])
    assert [lr(i) for i in (80, 99)] == pytest.approx([0.01, 0.01])


def test_warm_up_across_a_step():
    lr = multiplier(LR_SCHEDULER_NAME="WarmupMultiStepLR", STEPS=(5,), GAMMA=0.5, **COMMON)
    assert [lr(0), lr(5), lr(10)] == pytest.approx([0.1, 0.3, 0.5])


def test_cosine():
    lr = multiplier(LR_SCHEDULER_NAME="WarmupCosineLR", BASE_LR_END=0.05, **COMMON)
    at_10 = 0.1 + 0.45 * (1 + math.cos(math.pi * 0.1))
    assert lr(10) == pytest.approx(at_10)
    assert lr(5) == pytest.approx((0.1 + at_10) / 2)
    assert lr(50) == pytest.approx(0.55)
    assert lr(100) == pytest.approx(0.1)


def test_poly():
    lr = multiplier(
        LR_SCHEDULER_NAME="WarmupPolyLR",
        POLY_LR_POWER=0.9,
        POLY_LR_CONSTANT_ENDING=0.05,
        **COMMON,
    )
    assert lr(0) == pytest.approx(0.1)
    assert lr(5) == pytest.approx(0.55 * 0.95**0.9)
    assert lr(50) == pytest.approx(0.5**0.9)
    assert lr(99) == lr(100) == 0.05


def test_constant_warm_up():
    lr = multiplier(LR_SCHEDULER_NAME="WarmupMultiStepLR", WARMUP_METHOD="constant", **COMMON)
    assert [lr(0), lr(9), lr(10)] == pytest.approx([0.1, 0.1, 1.0])


def test_no_warm_up():
    lr = multiplier(LR_SCHEDULER_NAME="WarmupCosineLR", **{**COMMON, "WARMUP_ITERS": 0})
    assert lr(0) == 1.0


def test_warm_up_longer_than_training():
    lr = multiplier(LR_SCHEDULER_NAME="WarmupMultiStepLR", **{**COMMON, "WARMUP_ITERS": 1000})
    assert [lr(0), lr(50)] == pytest.approx([0.1, 0.55])


@pytest.mark.parametrize("method", ["linear", "constant"])
@pytest.mark.parametrize("name", ["WarmupMultiStepLR", "WarmupCosineLR"])
def test_agrees_with_fvcore(name, method):
    lr = multiplier(
        LR_SCHEDULER_NAME=name,
        WARMUP_METHOD=method,
        STEPS=(40, 80),
        GAMMA=0.3,
        BASE_LR_END=0.1,
        **COMMON,
    )
    after = {
        "WarmupMultiStepLR": reference.MultiStepParamScheduler([1, 0.3, 0.09], 100, [40, 80]),
        "WarmupCosineLR": reference.CosineParamScheduler(1, 0.2),
    }[name]
    start, end = 0.1 * after(0.0), after(0.1)
    warm_up = {
        "linear": reference.LinearParamScheduler(start, end),
        "constant": reference.ConstantParamScheduler(start),
    }[method]
    expected = reference.CompositeParamScheduler(
        [warm_up, after], [0.1, 0.9], interval_scaling=["rescaled", "fixed"]
    )
    for iteration in range(100):
        assert lr(iteration) == pytest.approx(expected(iteration / 100)), iteration


def test_steps_beyond_the_end_are_dropped(caplog):
    lr = multiplier(LR_SCHEDULER_NAME="WarmupMultiStepLR", STEPS=(50, 100, 200), **COMMON)
    assert lr(99) == pytest.approx(0.1)
    assert "[100, 200]" in caplog.text


@pytest.mark.parametrize(
    "error, match, solver",
    [
        (ValueError, "SOLVER.STEPS", {"STEPS": (80, 40)}),
        (ValueError, "SOLVER.MAX_ITER", {"MAX_ITER": 0}),
        (ValueError, "SOLVER.BASE_LR", {"BASE_LR": 0.0}),
        (KeyError, "Did you mean 'WarmupPolyLR'", {"LR_SCHEDULER_NAME": "WarmupPoly"}),
        (KeyError, "Did you mean 'linear'", {"WARMUP_METHOD": "linera"}),
    ],
)
def test_errors(error, match, solver):
    with pytest.raises(error, match=match):
        multiplier(**{**COMMON, **solver})


def test_one_of_an_outside_package(registered):
    @registered(LR_SCHEDULE_REGISTRY)
    def Triangle(cfg):
        return with_warmup(cfg, lambda i: 1 - i / cfg.SOLVER.MAX_ITER)

    lr = multiplier(LR_SCHEDULER_NAME="Triangle", **COMMON)
    assert [lr(0), lr(5), lr(10), lr(50)] == pytest.approx([0.1, 0.5, 0.9, 0.5])
    with pytest.raises(ValueError, match="MAX_ITER"):
        multiplier(LR_SCHEDULER_NAME="Triangle", **{**COMMON, "MAX_ITER": 0})
