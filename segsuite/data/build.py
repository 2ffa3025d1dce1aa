"""The loaders of training and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from segsuite.config import CfgNode
from segsuite.utils import comm

from .catalog import DatasetCatalog, MetadataCatalog
from .loader import MappedDataset, MappedLoader
from .mapper import DatasetMapper
from .samplers import InferenceSampler, SampleStream, TrainingBatches


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
    records = get_records(cfg.DATASETS.TRAIN)
    dataset = MappedDataset(
        records,
        DatasetMapper(cfg, is_train=True),
        SampleStream(size=len(records), seed=cfg.SEED),
    )
    return _build_loader(cfg, dataset, batches)


def build_test_loader(cfg: CfgNode, dataset_name: str) -> MappedLoader:
    """This process's part of a data set, one image a batch; each image is in one process's part."""
    records = get_records([dataset_name])
    sampler = InferenceSampler(
        size=len(records), rank=comm.get_rank(), world_size=comm.get_world_size()
    )
    dataset = MappedDataset(
        records,
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
