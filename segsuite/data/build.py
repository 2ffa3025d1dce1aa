"""The loaders of training and evaluation."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError, DataError
from segsuite.utils import comm
from segsuite.utils.cores import available_cores

from .catalog import DatasetCatalog, MetadataCatalog
from .copy_paste import CopyPaste
from .loader import MappedDataset, MappedLoader
from .mapper import DatasetMapper
from .packed import PackedRecords
from .records import (
    ColumnRecords,
    JoinedRecords,
    RecordSequence,
    all_objects,
    have_annotations,
    select_records,
)
from .samplers import (
    InferenceSampler,
    PositionSampler,
    TrainingBatches,
    TrainingSampler,
    build_train_sampler,
)
from .tiles import tile_records

logger = logging.getLogger(__name__)

Mapper = Callable[..., dict[str, Any]]
Records = Sequence[dict[str, Any]]


def get_records(names: str | Sequence[str]) -> Records:
    """The records of one or several data sets, each with its data set's ``label_map``.

    Returns:
        A list, or where a data set has annotations in files, such as COCO's, a `RecordSequence`,
        which reads a record from the cache when it is asked for.

    Raises:
        UnknownNameError: an unknown data set.
        MissingFileError, DataError: one that is missing, empty or incomplete.
    """
    names = [names] if isinstance(names, str) else names
    if not names:
        raise ConfigError("no data set named; set DATASETS.TRAIN and DATASETS.TEST")
    parts = [_records_of(name) for name in names]
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, list) for part in parts):
        return list(chain.from_iterable(parts))
    return JoinedRecords(
        [part if isinstance(part, RecordSequence) else PackedRecords(part) for part in parts]
    )


def _records_of(name: str) -> Records:
    records = DatasetCatalog.open(name)
    if not len(records):
        raise DataError(f"data set '{name}' is empty")
    label_map = MetadataCatalog.get(name).get("label_map")
    if isinstance(records, ColumnRecords):
        return records.with_facts(label_map=label_map)
    return [{"label_map": label_map, **record} for record in records]


def _train_loader_from_config(
    cfg: CfgNode,
    dataset: str | Records | Dataset | None = None,
    mapper: Mapper | None = None,
    sampler: PositionSampler | None = None,
) -> dict[str, Any]:
    dataset = get_training_records(cfg) if dataset is None else _open(dataset)
    if sampler is None:
        sampler = build_train_sampler(cfg, dataset)
    dataset = _packed(dataset)
    return {
        "dataset": dataset,
        "mapper": _build_training_mapper(cfg, dataset) if mapper is None else mapper,
        "sampler": sampler,
        "batch_size": cfg.SOLVER.IMS_PER_BATCH,
        "seed": cfg.SEED,
        **_loading(cfg),
    }


@configurable(from_config=_train_loader_from_config)
def build_train_loader(
    dataset: str | Records | Dataset,
    *,
    mapper: Mapper | None = None,
    sampler: PositionSampler | None = None,
    batch_size: int,
    seed: int = 0,
    start_iter: int = 0,
    num_workers: int = 0,
    prefetch_factor: int = 2,
    pin_memory: bool = False,
) -> MappedLoader:
    """The training batches of this process, from iteration `start_iter` on, without end.

    ``build_train_loader(cfg)`` has DATASETS.TRAIN and all else that `cfg` says; arguments beside
    `cfg` take the place of what it says, such as ``build_train_loader(cfg, mapper=my_mapper)``.
    Samples are a function of the seed and the position in the stream, whatever the number of
    workers and processes, and resuming is exact: see `MappedDataset` for what a mapper does to be
    part of that.

    Args:
        dataset: a list of records; a registered data set's name; or a map-style data set of
            PyTorch, whose items are what `mapper` takes.
        mapper: ``mapper(record) -> dict`` or ``mapper(record, rng) -> dict``, which makes samples
            as the model takes them. None: the items are samples already; with `cfg`, a
            `DatasetMapper` of it, inside a `CopyPaste` with INPUT.COPY_PASTE_PROB.
        sampler: which item comes at which position. None: a `TrainingSampler`, which shuffles; with
            `cfg`, DATALOADER.SAMPLER_TRAIN.
        batch_size: samples of a batch over all processes.
        seed: that order and augmentation follow from.
        num_workers, prefetch_factor, pin_memory: see `MappedLoader`.

    Raises:
        TypeError: an iterable data set, which has no positions.
        ConfigError: `batch_size` can't be divided among the processes; also as `get_records`.
    """
    batches = TrainingBatches(
        total_batch_size=batch_size,
        start_iter=start_iter,
        rank=comm.get_rank(),
        world_size=comm.get_world_size(),
    )
    items = _packed(_open(dataset))
    if sampler is None:
        sampler = TrainingSampler(size=len(items), seed=seed)
    return MappedLoader(
        dataset=MappedDataset(items, mapper, sampler, seed),
        batches=batches,
        num_workers=num_workers,
        prefetch_factor=prefetch_factor,
        pin_memory=pin_memory,
    )


def _open(dataset: Any) -> Any:
    """`dataset`, or the records of the one that is named."""
    if isinstance(dataset, str):
        return get_records(dataset)
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
        raise TypeError(
            f"a {type(dataset).__name__} can't be asked for its item at a position; give a list of "
            "records, or a map-style data set with __getitem__ and __len__"
        )
    return dataset


def _packed(dataset: Any) -> Any:
    return PackedRecords(dataset) if isinstance(dataset, (list, tuple)) else dataset


def _loading(cfg: CfgNode) -> dict[str, Any]:
    on_cuda = cfg.MODEL.DEVICE.startswith(("auto", "cuda")) and torch.cuda.is_available()
    return {
        "num_workers": _workers(cfg.DATALOADER.NUM_WORKERS),
        "prefetch_factor": cfg.DATALOADER.PREFETCH_FACTOR,
        "pin_memory": on_cuda,
    }


@functools.cache  # says it once
def _workers(wanted: int) -> int:
    """`wanted`, or as many as there are cores: more would only wait for each other. The stream is
    the same for any number."""
    cores = available_cores()
    if wanted <= cores:
        return wanted
    logger.info("DATALOADER.NUM_WORKERS is %d; this machine has %d cores: %d", wanted, cores, cores)
    return cores


def _build_training_mapper(cfg: CfgNode, dataset: Any) -> Mapper:
    mapper = DatasetMapper(cfg, is_train=True)
    if cfg.INPUT.COPY_PASTE_PROB == 0:
        return mapper
    if mapper.mask_format != "bitmask":
        raise ConfigError(
            f"INPUT.COPY_PASTE_PROB is {cfg.INPUT.COPY_PASTE_PROB}, which covers parts of masks; "
            "set INPUT.MASK_FORMAT to 'bitmask' and MODEL.MASK_ON to True"
        )
    return CopyPaste(mapper, dataset, cfg.INPUT.COPY_PASTE_PROB)


def get_training_records(cfg: CfgNode) -> Records:
    """The records of DATASETS.TRAIN, of those with annotations the ones with something to learn;
    with INPUT.TILES, of their tiles.

    Raises:
        DataError: FILTER_EMPTY_ANNOTATIONS leaves none; also as `get_records`.
    """
    records = _with_something(cfg, get_records(cfg.DATASETS.TRAIN))
    if not cfg.INPUT.TILES.ENABLED:
        return records
    keep_empty = not cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    tiles = cfg.INPUT.TILES
    tiled = tile_records(records, tiles.SIZE, tiles.OVERLAP, keep_empty=keep_empty)
    logger.info("%d training images are %d tiles (INPUT.TILES)", len(records), len(tiled))
    return tiled


def _with_something(cfg: CfgNode, records: Records) -> Records:
    """Without the images that FILTER_EMPTY_ANNOTATIONS leaves out."""
    if not cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        return records
    objects = all_objects(records)
    wanted = ~have_annotations(records)
    wanted[objects.image[~objects.is_crowd]] = True
    kept = np.flatnonzero(wanted)
    if not len(kept):
        raise DataError(
            f"no image of {', '.join(cfg.DATASETS.TRAIN)} has an object that is no crowd; "
            "set DATALOADER.FILTER_EMPTY_ANNOTATIONS False to train without any"
        )
    if len(kept) == len(records):
        return records
    logger.info(
        "%d of %d training images have no object and are left out "
        "(DATALOADER.FILTER_EMPTY_ANNOTATIONS False keeps them)",
        *(len(records) - len(kept), len(records)),
    )
    return select_records(records, kept)


def _test_loader_from_config(
    cfg: CfgNode, dataset: str | Records | Dataset, mapper: Mapper | None = None
) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "mapper": DatasetMapper(cfg, is_train=False) if mapper is None else mapper,
        "seed": cfg.SEED,
        **_loading(cfg),
    }


@configurable(from_config=_test_loader_from_config)
def build_test_loader(
    dataset: str | Records | Dataset,
    *,
    mapper: Mapper | None = None,
    sampler: Iterable[int] | None = None,
    batch_size: int = 1,
    seed: int = 0,
    num_workers: int = 0,
    prefetch_factor: int = 2,
    pin_memory: bool = False,
) -> MappedLoader:
    """This process's part of a data set, in order; each image is in one process's part.

    ``build_test_loader(cfg, "my_val")`` maps with a `DatasetMapper` of `cfg`; arguments beside the
    two take the place of what `cfg` says.

    Args:
        dataset, mapper, num_workers, prefetch_factor, pin_memory: as `build_train_loader`.
        sampler: the items that this process evaluates. None: an `InferenceSampler`.
        batch_size: samples of a batch of this process; the last may have fewer.
        seed: that the random numbers of a mapper follow from, together with the item's number.

    Raises:
        TypeError, ConfigError: as `build_train_loader`.
    """
    items = _packed(_open(dataset))
    if sampler is None:
        sampler = InferenceSampler(
            size=len(items), rank=comm.get_rank(), world_size=comm.get_world_size()
        )
    indices = iter(sampler)
    return MappedLoader(
        dataset=MappedDataset(items, mapper, _InOrder(), seed),
        batches=list(iter(lambda: list(islice(indices, batch_size)), [])),
        num_workers=num_workers,
        prefetch_factor=prefetch_factor,
        pin_memory=pin_memory,
    )


class _InOrder:
    def index(self, position: int) -> int:
        return position


# The names that Detectron2 has for them.
build_detection_train_loader = build_train_loader
build_detection_test_loader = build_test_loader
