"""A loader that maps records in worker processes, and names the file when something goes wrong."""

from __future__ import annotations

import copy
import inspect
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from segsuite.errors import DataError, RunError, UserError

from .randomness import position_rng, seeded_globals
from .samplers import PositionSampler, TrainingBatches


@dataclass
class _Fault:
    """What a worker could not load. Raised there, PyTorch would add its traceback to the text."""

    error: UserError
    traceback: str


class _WorkerTracebackError(Exception):
    """Where in a worker an error was raised: the cause of the one that this process raises."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class MappedDataset(Dataset):
    """Positions of a stream to samples.

    A mapper with a parameter `rng` is given the position's generator. For any other, and for a
    map-style data set, whose items may be drawn at random as well, the global generators of
    `random`, NumPy and PyTorch are seeded from it meanwhile. So a sample is a function of the seed
    and the position in either case, as long as mapper and data set keep no state of their own.

    Args:
        dataset: records, such as `PackedRecords` for large sets of them, or a map-style data set.
        mapper: ``mapper(record) -> dict`` or ``mapper(record, rng) -> dict``, such as a
            `DatasetMapper`; None where the items are samples already.
        sampler: which item belongs to a position.
        seed: that the random numbers of a position follow from.
    """

    def __init__(
        self,
        dataset: Any,
        mapper: Callable[..., dict[str, Any]] | None,
        sampler: PositionSampler,
        seed: int,
    ) -> None:
        self.dataset, self.sampler, self.seed = dataset, sampler, seed
        self.mapper: Callable[..., dict[str, Any]] = _as_it_is if mapper is None else mapper
        self._passes_rng = _takes_rng(self.mapper)
        self._seeds_globals = not self._passes_rng or not isinstance(dataset, Sequence)
        # What each worker is reading: the only trace that one which is killed leaves.
        self.in_progress = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> dict[str, Any] | _Fault:
        worker = get_worker_info()
        if worker is not None:
            self.in_progress[worker.id] = position
        index = self.sampler.index(position)
        rng = position_rng(self.seed, position)
        try:
            with seeded_globals(rng) if self._seeds_globals else nullcontext():
                record = self.dataset[index]
                return self.mapper(record, rng=rng) if self._passes_rng else self.mapper(record)
        except UserError as e:
            error = self._named(e, index)
            if worker is not None:
                return _Fault(error, traceback.format_exc())
            if error is e:
                raise
            raise error from e
        except Exception as e:
            files = " and ".join(self._files(index))
            raise RuntimeError(f"{type(e).__name__} while loading {files}: {e}") from e

    def _named(self, error: UserError, index: int) -> UserError:
        """The error, or one that names the files of the item as well."""
        files = self._files(index)
        if any(file in str(error) for file in files):
            return error
        return DataError(f"{' and '.join(files)}: {error}")

    def _files(self, index: int) -> list[str]:
        """The files of an item; where it is none of our records, its number."""
        if isinstance(self.dataset, Sequence) and 0 <= index < len(self.dataset):
            record = self.dataset[index]
            keys = ("file_name", "sem_seg_file_name", "pan_seg_file_name")
            files = [str(record[k]) for k in keys if isinstance(record, dict) and k in record]
            if files:
                return files
        return [f"item {index} of the {type(self.dataset).__name__}"]

    def files_in_progress(self) -> list[str]:
        """The image of each worker's last position."""
        positions = [p for p in self.in_progress.tolist() if p >= 0]
        return [self._files(self.sampler.index(p))[0] for p in positions]


def _as_it_is(sample: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    return sample


def _takes_rng(mapper: Callable) -> bool:
    try:
        return "rng" in inspect.signature(mapper).parameters
    except ValueError:  # a function of C's that does not tell
        return False


class MappedLoader(DataLoader):
    """Batches as ``list[dict]``: the samples of a `MappedDataset`, not collated.

    The samples do not depend on `num_workers`. Workers leave Ctrl-C, SIGHUP and SIGTERM to the
    process that started them, end with it however it ends, and compute on one thread each.

    Args:
        batches: lists of positions; each ``iter(loader)`` starts them anew.
        num_workers: worker processes; 0 loads in this process.
        prefetch_factor: batches that each worker prepares ahead.
        pin_memory: page-locked tensors, for fast copies to a CUDA device.
    """

    dataset: MappedDataset

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

    def starting_at(self, iteration: int) -> MappedLoader:
        """Another loader of the same training stream, from an iteration on; the data set, which is
        not read again, the mapper and the sampler are shared.

        Raises:
            TypeError: the batches are no `TrainingBatches`.
        """
        if not isinstance(self.batch_sampler, TrainingBatches):
            raise TypeError("this loader goes through a data set once; it has no iterations")
        batches = copy.copy(self.batch_sampler)
        batches.start_iter = iteration
        return MappedLoader(
            dataset=copy.copy(self.dataset),  # of which each loader notes what its workers read
            batches=batches,
            num_workers=self.num_workers,
            prefetch_factor=self.prefetch_factor or 2,
            pin_memory=self.pin_memory,
        )

    # PyTorch declares that its own kind of iterator is returned.
    def __iter__(self) -> Iterator[list[dict[str, Any]]]:  # type: ignore[override]
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
                raise RunError(
                    f"a data loading worker died: {e} The workers were reading {files}. A damaged "
                    "file may crash a decoder, and a machine out of memory kills processes; "
                    "DATALOADER.NUM_WORKERS 0 loads in the main process and shows where"
                ) from e
            for sample in batch:
                if isinstance(sample, _Fault):
                    raise sample.error from _WorkerTracebackError(sample.traceback)
            yield batch


def _as_list(samples: list[dict]) -> list[dict]:
    return samples


def _init_worker(worker_id: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
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
