"""The loaders of training and evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch

from segsuite.config import CfgNode
from segsuite.utils import comm

from .catalog import DatasetCatalog, MetadataCatalog
from .copy_paste import CopyPaste
from .loader import MappedDataset, MappedLoader
from .mapper import DatasetMapper
from .packed import PackedRecords
from .samplers import InferenceSampler, SampleStream, TrainingBatches, repeat_factors

logger = logging.getLogger(__name__)

# Detectron2's names of the ways to draw from the training set.
_SAMPLERS = ("TrainingSampler", "RepeatFactorTrainingSampler")


def get_records(names: Sequence[str]) -> list[dict]:
    """The records of one or several data sets, each with its data set's ``label_map``.

    Raises:
        KeyError: an unknown data set.
        FileNotFoundError, ValueError: one that is missing, empty or incomplete.
    """
    if not names:
        raise ValueError("no data set named; set DATASETS.TRAIN and DATASETS.TEST")
    records = []
    for name in names:
        of_this = DatasetCatalog.get(name)
        if not of_this:
            raise ValueError(f"data set '{name}' is empty")
        label_map = MetadataCatalog.get(name).get("label_map")
        records += [{"label_map": label_map, **record} for record in of_this]
    return records


def build_train_loader(cfg: CfgNode, *, start_iter: int = 0) -> MappedLoader:
    """The training batches of this process, from iteration `start_iter` on, without end.

    Raises:
        ValueError: SOLVER.IMS_PER_BATCH can't be divided among the processes; also as
            `get_records`.
    """
    batches = TrainingBatches(
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        start_iter=start_iter,
        rank=comm.get_rank(),
        world_size=comm.get_world_size(),
    )
    records = get_training_records(cfg)
    stream = _build_stream(cfg, records)
    packed = PackedRecords(records)
    dataset = MappedDataset(packed, _build_training_mapper(cfg, packed), stream)
    return _build_loader(cfg, dataset, batches)


def _build_training_mapper(cfg: CfgNode, records: Sequence[dict]) -> Callable:
    mapper = DatasetMapper(cfg, is_train=True)
    if cfg.INPUT.COPY_PASTE_PROB == 0:
        return mapper
    if mapper.mask_format != "bitmask":
        raise ValueError(
            f"INPUT.COPY_PASTE_PROB is {cfg.INPUT.COPY_PASTE_PROB}, which covers parts of masks; "
            "set INPUT.MASK_FORMAT to 'bitmask' and MODEL.MASK_ON to True"
        )
    return CopyPaste(mapper, records, cfg.INPUT.COPY_PASTE_PROB)


def get_training_records(cfg: CfgNode) -> list[dict]:
    """The records of DATASETS.TRAIN, of those with annotations the ones with something to learn.

    Raises:
        ValueError: FILTER_EMPTY_ANNOTATIONS leaves none; also as `get_records`.
    """
    records = get_records(cfg.DATASETS.TRAIN)
    if not cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        return records
    kept = [record for record in records if _has_object(record)]
    if len(kept) < len(records):
        logger.info(
            "%d of %d training images have no object and are left out "
            "(DATALOADER.FILTER_EMPTY_ANNOTATIONS False keeps them)",
            *(len(records) - len(kept), len(records)),
        )
    if not kept:
        raise ValueError(
            f"no image of {', '.join(cfg.DATASETS.TRAIN)} has an object that is no crowd; "
            "set DATALOADER.FILTER_EMPTY_ANNOTATIONS False to train without any"
        )
    return kept


def _has_object(record: dict) -> bool:
    return "annotations" not in record or any(
        not annotation.get("iscrowd", 0) for annotation in record["annotations"]
    )


def _build_stream(cfg: CfgNode, records: list[dict]) -> SampleStream:
    sampler, threshold = cfg.DATALOADER.SAMPLER_TRAIN, cfg.DATALOADER.REPEAT_THRESHOLD
    if sampler not in _SAMPLERS:
        raise ValueError(
            f"DATALOADER.SAMPLER_TRAIN is '{sampler}': expected one of {', '.join(_SAMPLERS)}"
        )
    factors = None
    if sampler == "RepeatFactorTrainingSampler":
        if not all("annotations" in record for record in records) or threshold <= 0:
            raise ValueError(
                "DATALOADER.SAMPLER_TRAIN RepeatFactorTrainingSampler needs data sets with "
                f"annotations and a REPEAT_THRESHOLD above 0; it is {threshold}"
            )
        factors = repeat_factors(records, threshold, cfg.DATALOADER.REPEAT_SQRT)
    groups = None
    sizes_are_known = all("width" in record and "height" in record for record in records)
    if cfg.DATALOADER.ASPECT_RATIO_GROUPING and sizes_are_known:
        groups = [record["width"] > record["height"] for record in records]
    return SampleStream(
        size=len(records),
        seed=cfg.SEED,
        repeat_factors=factors,
        groups=groups,
        batch_size=cfg.SOLVER.IMS_PER_BATCH,
    )


def build_test_loader(cfg: CfgNode, dataset_name: str) -> MappedLoader:
    """This process's part of a data set, one image a batch; each image is in one process's part."""
    records = get_records([dataset_name])
    sampler = InferenceSampler(
        size=len(records), rank=comm.get_rank(), world_size=comm.get_world_size()
    )
    dataset = MappedDataset(
        PackedRecords(records),
        DatasetMapper(cfg, is_train=False),
        SampleStream(size=len(records), seed=cfg.SEED, shuffle=False),
    )
    return _build_loader(cfg, dataset, [[index] for index in sampler])


def _build_loader(cfg: CfgNode, dataset: MappedDataset, batches: Any) -> MappedLoader:
    on_cuda = cfg.MODEL.DEVICE.startswith(("auto", "cuda")) and torch.cuda.is_available()
    return MappedLoader(
        dataset=dataset,
        batches=batches,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        prefetch_factor=cfg.DATALOADER.PREFETCH_FACTOR,
        pin_memory=on_cuda,
    )
