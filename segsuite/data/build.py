"""The loaders of training and evaluation."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from segsuite.config import CfgNode, configurable
from segsuite.utils import comm

from .catalog import DatasetCatalog, MetadataCatalog
from .mapper import DatasetMapper
from .samplers import InferenceSampler, TrainingBatches, TrainingStream


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
        label_map = MetadataCatalog.get(name).get("label_map")
        of_this = DatasetCatalog.get(name)
        if not of_this:
            raise ValueError(f"data set '{name}' is empty")
        records += [{"label_map": label_map, **record} for record in of_this]
    return records


class MappedStream(Dataset):
    """Stream positions to training samples."""

    def __init__(self, records: list[dict], mapper: Callable, stream: TrainingStream) -> None:
        self.records, self.mapper, self.stream = records, mapper, stream

    def file_name(self, position: int) -> str:
        return self.records[self.stream.index(position)]["file_name"]

    def __getitem__(self, position: int) -> dict[str, Any]:
        record = self.records[self.stream.index(position)]
        return self.mapper(record, self.stream.rng(position))


class MappedRecords(Dataset):
    """Record indices to evaluation samples."""

    def __init__(self, records: list[dict], mapper: Callable) -> None:
        self.records, self.mapper = records, mapper
        self.stream = TrainingStream(size=len(records), seed=0, shuffle=False)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.mapper(self.records[index], self.stream.rng(index))


class TrainLoader:
    """Training batches without end: ``iter(loader)`` starts at batch `start_iter`.

    Batches are ``list[dict]``, as `DatasetMapper` makes them; see `segsuite.data.samplers` for
    which samples they hold.

    Args:
        records: of the data set.
        mapper: ``mapper(record, rng) -> dict``.
        total_batch_size: images of a batch over all processes.
        seed: of order and augmentation.
        start_iter: the first batch; may be set before each ``iter``.
        num_workers: worker processes of this process; 0 loads in the process itself.
        prefetch_factor: batches each worker prepares ahead.
        pin_memory: page-locked tensors, for fast copies to a CUDA device.
        rank, world_size: this process among all.
    """

    @configurable
    def __init__(
        self,
        *,
        records: list[dict],
        mapper: Callable,
        total_batch_size: int,
        seed: int,
        start_iter: int = 0,
        num_workers: int = 0,
        prefetch_factor: int = 2,
        pin_memory: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.dataset = MappedStream(records, mapper, TrainingStream(size=len(records), seed=seed))
        self.batches = TrainingBatches(
            total_batch_size=total_batch_size,
            start_iter=start_iter,
            rank=rank,
            world_size=world_size,
        )
        self._loader = DataLoader(
            self.dataset,
            batch_sampler=self.batches,
            **_worker_options(num_workers, prefetch_factor, pin_memory),
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, start_iter: int = 0) -> dict[str, Any]:
        return {
            "records": get_records(cfg.DATASETS.TRAIN),
            "mapper": DatasetMapper(cfg, is_train=True),
            "total_batch_size": cfg.SOLVER.IMS_PER_BATCH,
            "seed": cfg.SEED,
            "start_iter": start_iter,
            "num_workers": cfg.DATALOADER.NUM_WORKERS,
            "prefetch_factor": cfg.DATALOADER.PREFETCH_FACTOR,
            "pin_memory": uses_cuda(cfg),
            "rank": comm.get_rank(),
            "world_size": comm.get_world_size(),
        }

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        return iter(self._loader)


def build_train_loader(cfg: CfgNode, *, start_iter: int = 0) -> TrainLoader:
    """The training batches of this process, from iteration `start_iter` on.

    Raises:
        ValueError: SOLVER.IMS_PER_BATCH can't be divided among the processes; also as
            `get_records`.
    """
    return TrainLoader(cfg, start_iter=start_iter)


def build_test_loader(cfg: CfgNode, dataset_name: str) -> DataLoader:
    """This process's part of a data set, one image a batch, each image in one process only."""
    dataset = MappedRecords(get_records([dataset_name]), DatasetMapper(cfg, is_train=False))
    sampler = InferenceSampler(
        size=len(dataset), rank=comm.get_rank(), world_size=comm.get_world_size()
    )
    return DataLoader(
        dataset,
        sampler=sampler,
        batch_size=1,
        **_worker_options(
            cfg.DATALOADER.NUM_WORKERS, cfg.DATALOADER.PREFETCH_FACTOR, uses_cuda(cfg)
        ),
    )


def uses_cuda(cfg: CfgNode) -> bool:
    """Whether MODEL.DEVICE is, or with "auto" will be, a CUDA device."""
    return cfg.MODEL.DEVICE.startswith(("cuda", "auto")) and torch.cuda.is_available()


def _worker_options(num_workers: int, prefetch_factor: int, pin_memory: bool) -> dict[str, Any]:
    return {
        "collate_fn": _as_list,
        "num_workers": num_workers,
        "prefetch_factor": prefetch_factor if num_workers else None,
        "pin_memory": pin_memory,
        "worker_init_fn": _init_worker,
        # The loader draws a seed at each start, which must not come from the global generator.
        "generator": torch.Generator(),
    }


def _as_list(samples: list[dict]) -> list[dict]:
    return samples


def _init_worker(worker_id: int) -> None:
    # Ctrl-C reaches every process of the terminal; the parent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
