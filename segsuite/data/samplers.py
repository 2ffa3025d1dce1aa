"""Which sample comes when: pure functions of a seed and a position, with no state to lose.

Position p of the infinite training stream has a data set index and a random generator of its own.
Batch i is made of positions [i * B, (i + 1) * B), of which each process takes its slice, so that
neither the number of processes nor that of workers changes a sample, and resuming is arithmetic.

That holds where images are grouped by their aspect ratio, too. Landscape and portrait images are
two streams, each with its own epochs, and a batch is filled from one of them: from the landscape
stream where ``floor((i + 1) s) > floor(i s)``, s being its share of the samples. So of the first i
batches ``floor(i s)`` are landscape ones, which tells the place of batch i in either stream, and
every image comes as often as any other. The batch is that of all processes together; so are all its
slices of one group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Sampler

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError, DataError
from segsuite.utils.registry import Registry

from .randomness import numbered_generator
from .records import all_objects, have_annotations, numbers_of

# Callables (cfg, dataset) -> PositionSampler, by DATALOADER.SAMPLER_TRAIN; `dataset` is what is
# drawn from, such as a list of records.
SAMPLER_REGISTRY = Registry("SAMPLER")

# Purposes of `numbered_generator` for the two groups; 1 is the augmentation.
_ORDERS = (0, 2)


class PositionSampler(Protocol):
    """Says which item of a data set stands at a position of the training stream."""

    def index(self, position: int) -> int:
        """The item at `position`, from 0 to the size of the data set.

        A pure function: the same whatever was asked before, and in any process. Positions go on
        without end; batch i of B samples over all processes is positions [i * B, (i + 1) * B).
        """


def build_train_sampler(cfg: CfgNode, dataset: Any) -> PositionSampler:
    """DATALOADER.SAMPLER_TRAIN over a list of records or a map-style data set.

    Raises:
        UnknownNameError: no sampler has that name.
        DataError, ConfigError: the data set does not have what the sampler needs.
    """
    return SAMPLER_REGISTRY.get(cfg.DATALOADER.SAMPLER_TRAIN)(cfg, dataset)


@SAMPLER_REGISTRY.register()
class TrainingSampler:
    """The infinite sequence of training samples: epoch after epoch, each in an order of its own.

    From a configuration, images are grouped with DATALOADER.ASPECT_RATIO_GROUPING where the records
    tell their ``width`` and ``height``.

    Args:
        size: number of records.
        seed: the seed that everything follows from.
        shuffle: False: the order of the records.
        repeat_factors: how often each record comes in an epoch, on average, such as
            `repeat_factors` gives. An epoch then has ``round(sum(repeat_factors))`` samples, and a
            record of factor f comes floor(f) or ceil(f) times, up to the rounding of that sum.
        groups: for each record one of two kinds that never share a batch.
        batch_size: samples of a batch over all processes; only `groups` need it.
    """

    @configurable
    def __init__(
        self,
        *,
        size: int,
        seed: int,
        shuffle: bool = True,
        repeat_factors: Sequence[float] | np.ndarray | None = None,
        groups: Sequence[bool] | np.ndarray | None = None,
        batch_size: int = 1,
    ) -> None:
        if size <= 0:
            raise DataError("a training stream needs at least one record, the data set has none")
        self.batch_size = batch_size
        factors = None if repeat_factors is None else np.array(repeat_factors, dtype=np.float64)
        kinds = np.zeros(size, bool) if groups is None else np.array(groups, dtype=bool)
        members = [part for part in (np.flatnonzero(kinds), np.flatnonzero(~kinds)) if len(part)]
        self._epochs = [
            _Epochs(part, None if factors is None else factors[part], seed, purpose, shuffle)
            for part, purpose in zip(members, _ORDERS, strict=False)
        ]

    @classmethod
    def from_config(cls, cfg: CfgNode, dataset: Any) -> dict[str, Any]:
        groups = None
        if cfg.DATALOADER.ASPECT_RATIO_GROUPING and isinstance(dataset, Sequence):
            width, height = numbers_of(dataset, "width"), numbers_of(dataset, "height")
            groups = None if width is None or height is None else width > height
        return {
            "size": len(dataset),
            "seed": cfg.SEED,
            "groups": groups,
            "batch_size": cfg.SOLVER.IMS_PER_BATCH,
        }

    def index(self, position: int) -> int:
        """The index of the record at a position."""
        if len(self._epochs) == 1:
            return self._epochs[0].index(position)
        batch, offset = divmod(position, self.batch_size)
        first, second = self._epochs
        total = first.length + second.length
        before, after = (n * first.length // total for n in (batch, batch + 1))
        if after > before:
            return first.index(before * self.batch_size + offset)
        return second.index((batch - before) * self.batch_size + offset)


@SAMPLER_REGISTRY.register()
class RepeatFactorTrainingSampler(TrainingSampler):
    """A `TrainingSampler` whose `repeat_factors` are by default those of the rare categories."""

    @classmethod
    def from_config(cls, cfg: CfgNode, dataset: Any) -> dict[str, Any]:
        threshold = cfg.DATALOADER.REPEAT_THRESHOLD
        annotated = isinstance(dataset, Sequence) and have_annotations(dataset).all()
        if threshold <= 0 or not annotated:
            raise ConfigError(
                "DATALOADER.SAMPLER_TRAIN RepeatFactorTrainingSampler needs data sets with "
                f"annotations and a REPEAT_THRESHOLD above 0; it is {threshold}"
            )
        factors = repeat_factors(dataset, threshold, cfg.DATALOADER.REPEAT_SQRT)
        return {**super().from_config(cfg, dataset), "repeat_factors": factors}


class _Epochs:
    """Some of the records, epoch after epoch."""

    def __init__(
        self,
        members: np.ndarray,
        repeat_factors: np.ndarray | None,
        seed: int,
        purpose: int,
        shuffle: bool,
    ) -> None:
        self.members, self.repeat_factors = members, repeat_factors
        self.seed, self.purpose, self.shuffle = seed, purpose, shuffle
        total = len(members) if repeat_factors is None else repeat_factors.sum()
        self.length = max(round(float(total)), 1)
        self._epoch: int | None = None
        self._order = members

    def index(self, position: int) -> int:
        epoch, offset = divmod(position, self.length)
        if self.shuffle and epoch != self._epoch:
            self._order = self._draw(numbered_generator(self.seed, self.purpose, epoch))
            self._epoch = epoch
        return int(self._order[offset])

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        order = self.members[rng.permutation(len(self.members))]
        if self.repeat_factors is None:
            return order
        # Systematic sampling: the factors are laid end to end along a line of `length` units, and
        # each record is taken once for each of the points u, u + 1, ... on its stretch.
        place = np.searchsorted(self.members, order)
        ends = self.repeat_factors[place].cumsum()
        ends *= self.length / ends[-1]
        ends[-1] = self.length
        u = rng.integers(1 << 20) / (1 << 20)  # of so few bits that `length + u` is exact
        counts = np.diff(np.floor(ends + u), prepend=0.0).astype(np.int64)
        return rng.permutation(np.repeat(order, counts))


def repeat_factors(records: Sequence[dict], threshold: float, sqrt: bool = True) -> list[float]:
    """How often images come so that rare categories are seen more (Gupta et al., "LVIS", 2019).

    With f the share of images that a category is in, the category's factor is ``max(1, sqrt(
    threshold / f))`` and an image's that of its rarest category.

    Args:
        records: with ``annotations``.
        threshold: DATALOADER.REPEAT_THRESHOLD, a share.
        sqrt: False: without the square root.

    Returns:
        A factor of at least 1 for each record.
    """
    objects = all_objects(records)
    # Each image and class once.
    pairs = np.unique(np.stack([objects.image, objects.category], 1), axis=0)
    _, of_pair, counts = np.unique(pairs[:, 1], return_inverse=True, return_counts=True)
    of_class = np.maximum(1.0, threshold * len(records) / counts)
    factors = np.ones(len(records))
    np.maximum.at(factors, pairs[:, 0], (np.sqrt(of_class) if sqrt else of_class)[of_pair])
    return factors.tolist()


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
            raise ConfigError(
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
