"""Random numbers that follow from a seed and a position, for code of any origin."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# Second words of the generators' keys, so that orders and augmentation draw from different streams.
_AUGMENTATION = 1
_WORD = (1 << 64) - 1


def numbered_generator(seed: int, purpose: int, number: int) -> np.random.Generator:
    """The generator of a seed, a purpose and a number, such as that of an epoch or a position.

    What is drawn for two of them has nothing to do with each other. Purposes 0 to 9 are segsuite's.
    """
    # Philox is counter-based: its third counter word gives each number 2**128 draws.
    key = np.array([seed & _WORD, purpose], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=number << 128, key=key))


def position_rng(seed: int, position: int) -> np.random.Generator:
    """The generator that draws all that is random about the sample at a position."""
    return numbered_generator(seed, _AUGMENTATION, position)


@contextmanager
def seeded_globals(rng: np.random.Generator) -> Iterator[None]:
    """While it is open, what the global generators of `random`, NumPy and PyTorch draw follows
    from `rng`; afterwards they go on as if nothing had been drawn.

    For code that takes no generator. It costs about a tenth of a millisecond. (PyTorch's generator
    is that of the CPU.)
    """
    seeds = rng.integers(1 << 32, size=3).tolist()
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    random.seed(seeds[0])
    np.random.seed(seeds[1])
    # `torch.manual_seed` would queue a call for CUDA each time.
    torch.default_generator.manual_seed(seeds[2])
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])
