"""Optimisers, learning-rate schedules, gradient clipping and the running average of the weights."""

from .build import build_optimizer, param_groups
from .ema import ModelEMA
from .gradient_clipping import build_gradient_clipper
from .lr_schedule import build_lr_multiplier

__all__ = [
    "ModelEMA",
    "build_gradient_clipper",
    "build_lr_multiplier",
    "build_optimizer",
    "param_groups",
]
