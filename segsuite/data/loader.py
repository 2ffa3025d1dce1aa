"""A loader that maps records in worker processes, and names the file when something goes wrong."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from .samplers import SampleStream


@dataclass
class _Fault:
    """A file that a worker could not read. Raised there, PyTorch would wrap it in a traceback."""

    error: OSError | ValueError


class MappedDataset(Dataset):
    """Positions of a stream to samples.

    Args:
        records: of the data set; see `PackedRecords` for large ones.
        mapper: ``mapper(record, rng) -> dict``, such as a `DatasetMapper`.
        stream: which record and which random numbers belong to a position.
    """

    def __init__(self, records: Sequence[dict], mapper: Callable, stream: SampleStream) -> None:
        self.records, self.mapper, self.stream = records, mapper, stream
        # What each worker is reading: the only trace that one which is killed leaves.
        self.in_progress = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, position: int) -> dict[str, Any]:
        worker = get_worker_info()
        if worker is not None:
            self.in_progress[worker.id] = position
        record = self.records[self.stream.index(position)]
        try:
            return self.mapper(record, self.stream.rng(position))
        except Exception as e:
            keys = ("file_name", "sem_seg_file_name", "pan_seg_file_name")
            files = [record[key] for key in keys if key in record]
            if not any(str(file) in str(e) for file in files):
                raise RuntimeError(
                    f"{type(e).__name__} while loading {' and '.join(map(str, files))}: {e}"
                ) from e
            if worker is not None and isinstance(e, (OSError, ValueError)):
                return _Fault(e)
            raise

    def files_in_progress(self) -> list[str]:
        """The image of each worker's last position."""
        positions = [p for p in self.in_progress.tolist() if p >= 0]
        return [str(self.records[self.stream.index(p)]["file_name"]) for p in positions]


class MappedLoader(DataLoader):
    """Batches as ``list[dict]``: the samples of a `MappedDataset`, not collated.

    The samples do not depend on `num_workers`. Workers leave Ctrl-C and SIGTERM to the process that
    started them, end with it however it ends, and compute on one thread each.

    Args:
        batches: lists of positions; each ``iter(loader)`` starts them anew.
        num_workers: worker processes; 0 loads in this process.
        prefetch_factor: batches that each worker prepares ahead.
        pin_memory: page-locked tensors, for fast copies to a CUDA device.
    """

    def __init__(
        self,
        *,
        dataset: MappedDataset,
        batches: Iterable[list[int]],
        num_workers: int = 0,
        prefetch_factor: int = 2,
        pin_memory: bool = False,
    ) -> None:
        if num_workers:
            # OpenCV's threads would not survive the fork of a worker, which would wait for them.
            cv2.setNumThreads(1)
        dataset.in_progress = torch.full((num_workers,), -1, dtype=torch.int64).share_memory_()
        super().__init__(
            dataset,
            batch_sampler=batches,
            collate_fn=_as_list,
            num_workers=num_workers,
            prefetch_factor=prefetch_factor if num_workers else None,
            pin_memory=pin_memory,
            worker_init_fn=_init_worker,
            # Starting the workers draws a seed, which must not come from the global generator.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        batches = super().__iter__()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError as e:
                # PyTorch's words for a worker that died instead of raising an error.
                if not str(e).startswith("DataLoader worker (pid"):
                    raise
                files = ", ".join(self.dataset.files_in_progress())
                raise RuntimeError(
                    f"a data loading worker died: {e} The workers were reading {files}. A damaged "
                    "file may crash a decoder, and a machine out of memory kills processes; "
                    "DATALOADER.NUM_WORKERS 0 loads in the main process and shows where"
                ) from e
            for sample in batch:
                if isinstance(sample, _Fault):
                    raise sample.error
            yield batch


def _as_list(samples: list[dict]) -> list[dict]:
    return samples


def _init_worker(worker_id: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_the_parent_says_so, daemon=True).start()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _end_when_the_parent_says_so() -> None:
    # A cluster sends SIGTERM to every process of a job; the one that trains then still needs
    # batches for its last step.
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
