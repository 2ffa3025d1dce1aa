"""Which sample comes when: pure functions of a seed and a position, with no state to lose.

Position p of the infinite training stream has a data set index and a random generator of its own.
Batch i is made of positions [i * B, (i + 1) * B), of which each process takes its slice, so that
neither the number of processes nor that of workers changes a sample, and resuming is arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

# Second words of the generators' keys, so that order and augmentation draw from different streams.
_ORDER, _AUGMENTATION = 0, 1
_WORD = (1 << 64) - 1


class SampleStream:
    """The infinite sequence of training samples: epoch after epoch, each in an order of its own.

    Args:
        size: number of records.
        seed: the seed that everything follows from.
        shuffle: False: the order of the records.
    """

    def __init__(self, *, size: int, seed: int, shuffle: bool = True) -> None:
        if size <= 0:
            raise ValueError("a training stream needs at least one record, the data set has none")
        self.size, self.seed, self.shuffle = size, seed, shuffle
        self._epoch: int | None = None
        self._order: np.ndarray | None = None

    def index(self, position: int) -> int:
        """The index of the record at a position."""
        epoch, offset = divmod(position, self.size)
        if not self.shuffle:
            return offset
        if epoch != self._epoch:
            self._order = self._generator(_ORDER, epoch).permutation(self.size)
            self._epoch = epoch
        return int(self._order[offset])

    def rng(self, position: int) -> np.random.Generator:
        """The generator that draws the augmentation at a position."""
        return self._generator(_AUGMENTATION, position)

    def _generator(self, purpose: int, number: int) -> np.random.Generator:
        # Philox is counter-based: its third counter word gives each number 2**128 draws.
        key = np.array([self.seed & _WORD, purpose], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(counter=number << 128, key=key))


class TrainingBatches(Sampler):
    """Batches of stream positions for one process, from an iteration on, without end.

    Args:
        total_batch_size: positions of a batch over all processes.
        start_iter: the first batch.
        rank, world_size: this process among all.
    """

    def __init__(
        self, *, total_batch_size: int, start_iter: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        if total_batch_size < world_size or total_batch_size % world_size:
            raise ValueError(
                f"SOLVER.IMS_PER_BATCH is {total_batch_size} for {world_size} processes: expected "
                f"a multiple of {world_size}, so that each has the same number of images"
            )
        self.total_batch_size = total_batch_size
        self.start_iter = start_iter
        self.rank, self.world_size = rank, world_size

    def __iter__(self) -> Iterator[list[int]]:
        share = self.total_batch_size // self.world_size
        iteration = self.start_iter
        while True:
            start = iteration * self.total_batch_size + self.rank * share
            yield list(range(start, start + share))
            iteration += 1


class InferenceSampler(Sampler):
    """This process's contiguous part of 0 .. size-1; parts differ in length by one at most.

    Nothing is padded or repeated, so that every image counts once.
    """

    def __init__(self, *, size: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(size * rank // world_size, size * (rank + 1) // world_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)
