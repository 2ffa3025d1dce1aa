"""Saving and resuming runs, and reading weights from files that nobody has to trust."""

from .addresses import PATH_MANAGER, read_weights
from .checkpointer import Checkpointer
from .convert import Conversion, convert
from .convert_weights import ConvertedWeights, convert_weights
from .load_state import load_state
from .load_weights import load_weights
from .report import LoadReport
from .rng import get_rng_state, seed_all, set_rng_state
from .save_weights import save_weights

__all__ = [
    "PATH_MANAGER",
    "Checkpointer",
    "Conversion",
    "ConvertedWeights",
    "LoadReport",
    "convert",
    "convert_weights",
    "get_rng_state",
    "load_state",
    "load_weights",
    "read_weights",
    "save_weights",
    "seed_all",
    "set_rng_state",
]
