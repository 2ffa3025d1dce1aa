"""Saving and resuming runs, and reading weights from files that nobody has to trust."""

from .checkpointer import Checkpointer
from .load_state import load_state
from .load_weights import LoadReport, load_weights
from .rng import get_rng_state, seed_all, set_rng_state

__all__ = [
    "Checkpointer",
    "LoadReport",
    "get_rng_state",
    "load_state",
    "load_weights",
    "seed_all",
    "set_rng_state",
]
