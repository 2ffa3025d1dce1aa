"""Losses: pure functions by name, and the criterion that weighs them."""

from .build import SEM_SEG_LOSS_REGISTRY
from .criterion import SemSegCriterion
from .cross_entropy import cross_entropy
from .dice import dice
from .focal import focal
from .hard_pixel_mining import hard_pixel_mining
from .lovasz import lovasz
from .normalizer import AccumulatedBatch, num_valid
from .tversky import tversky

__all__ = [
    "SEM_SEG_LOSS_REGISTRY",
    "AccumulatedBatch",
    "SemSegCriterion",
    "cross_entropy",
    "dice",
    "focal",
    "hard_pixel_mining",
    "lovasz",
    "num_valid",
    "tversky",
]
