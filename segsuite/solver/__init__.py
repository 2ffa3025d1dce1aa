"""Optimisers, learning-rate schedules, gradient clipping and the running average of the weights."""

from .build import OPTIMIZER_REGISTRY, build_optimizer, param_groups
from .ema import ModelEMA
from .gradient_clipping import build_gradient_clipper
from .lr_schedule import LR_SCHEDULE_REGISTRY, build_lr_multiplier, with_warmup

__all__ = [
    "LR_SCHEDULE_REGISTRY",
    "OPTIMIZER_REGISTRY",
    "ModelEMA",
    "build_gradient_clipper",
    "build_lr_multiplier",
    "build_optimizer",
    "param_groups",
    "with_warmup",
]
