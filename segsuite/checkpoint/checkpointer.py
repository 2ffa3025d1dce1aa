"""`Checkpointer`: checkpoints that survive a kill at any moment, and damage to the last of them."""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from segsuite.errors import ConfigError, FileAccessError, WeightsError
from segsuite.utils import comm
from segsuite.utils.files import (
    atomic_file,
    publish_folder,
    remove_folder,
    remove_unfinished,
    unfinished_name,
)

from .integrity import seal
from .load_state import load_state
from .sharded import STATE

logger = logging.getLogger(__name__)

_PLAIN_TYPES = {
    torch.Tensor,
    torch.nn.Parameter,
    dict,
    OrderedDict,
    list,
    tuple,
    str,
    bytes,
    int,
    float,
    bool,
    type(None),
}
# What there is beside the periodic checkpoints: weights after the last iteration, and the best.
FINAL, BEST = "model_final", "model_best"
_SHARDED = ".shards"  # folders
_PERIODIC = re.compile(rf"model_(\d{{7,}})(\.pth|\{_SHARDED})")


class Checkpointer:
    """The checkpoints of one run in one folder, written by one process, or sharded ones by all.

    Files named ``model_<iteration, 7 digits>.pth``, and folders that end in ``.shards``, are
    periodic: the newest `keep` are kept, and training resumes from the newest that is undamaged.
    Other names (``model_final``, ``model_best``) stay until they are overwritten. See
    docs/checkpoints.md for the content.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int = 2):
        if keep < 1:
            raise ConfigError(f"SOLVER.CHECKPOINTS_TO_KEEP is {keep}; it must be at least 1")
        self.directory = Path(directory)
        self.keep = keep

    def save_periodic(self, iteration: int, state: dict[str, Any]) -> Path:
        """`save` under the name of the periodic checkpoint after `iteration` iterations."""
        return self.save(f"model_{iteration:07d}", state)

    def save_sharded(self, iteration: int, state: dict[str, Any]) -> Path:
        """Write the periodic checkpoint after `iteration` iterations as a folder, to which every
        process brings its part of the sharded tensors: whole and on the disk, or not at all.

        All processes have to call it, each with its `state`. They have to see one folder.

        Raises:
            FileAccessError, TypeError: see `save`.
        """
        from .distributed import write_shards

        path = self.directory / f"model_{iteration:07d}{_SHARDED}"
        temporary = comm.broadcast_object(unfinished_name(path))
        with self._telling_of_the_disk(path):
            if comm.is_main_process():
                remove_unfinished(self.directory, _SHARDED)  # of a run that was killed
                temporary.mkdir()
            comm.synchronize()
            rest = write_shards(temporary, state)
        if comm.is_main_process():
            Checkpointer(temporary).save(Path(STATE).stem, rest)
            with self._telling_of_the_disk(path):
                publish_folder(temporary, path)
            self._remove_older(path)
        return path

    def _remove_older(self, path: Path) -> None:
        files = self.periodic()
        for old in files[files.index(path) + self.keep :]:
            if old.is_dir():
                remove_folder(old)
            else:
                old.unlink(missing_ok=True)

    @contextmanager
    def _telling_of_the_disk(self, path: Path, size: int | None = None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            free = shutil.disk_usage(self.directory).free if self.directory.is_dir() else 0
            needed = "" if size is None else f"{size / 1e6:.1f} MB, "
            raise FileAccessError(
                error.errno,
                f"cannot write checkpoint '{path}' ({needed}{free / 1e6:.1f} MB free): "
                f"{error.strerror}. Earlier checkpoints are intact; make room or choose another "
                "OUTPUT_DIR, and resume",
            ) from error

    def save(self, name: str, state: dict[str, Any]) -> Path:
        """Write `state` to ``<name>.pth``: whole and on the disk, or not at all.

        Raises:
            FileAccessError: it can't be written (no space, no right to); what was there is intact.
            TypeError: it holds an object that a weights-only load would refuse.
        """
        _check_plain(state, "state")
        path = self.directory / f"{name}.pth"
        buffer = io.BytesIO()
        torch.save(state, buffer)
        archive = buffer.getbuffer()
        comment = seal(archive)
        with self._telling_of_the_disk(path, len(archive)):
            remove_unfinished(self.directory, path.suffix)  # by a run that was killed
            with atomic_file(path, "wb") as file:
                file.write(archive)
                file.write(comment)
        if _PERIODIC.fullmatch(path.name):
            self._remove_older(path)
        return path

    def periodic(self) -> list[Path]:
        """The periodic checkpoints, newest first, by the iteration in their names."""
        files = [p for p in self.directory.glob("model_*") if _PERIODIC.fullmatch(p.name)]
        return sorted(files, key=_iteration, reverse=True)

    def latest(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest periodic checkpoint that is whole, and its state; None if there is none yet.

        Raises:
            WeightsError: there are some, and every one is damaged.
        """
        errors = []
        for path in self.periodic():
            try:
                return path, self.load(path)
            except (OSError, WeightsError) as error:
                logger.error("Checkpoint passed over: %s", error)
                errors.append(str(error))
        if errors:
            raise WeightsError(
                f"no checkpoint in '{self.directory}' can be read; restore one, or start anew in "
                "another OUTPUT_DIR:\n" + "\n".join(f"  {error}" for error in errors)
            )
        return None

    def load(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """The state of a run saved at `path`, tensors on the CPU.

        Raises:
            MissingFileError: there is no such file.
            WeightsError: it is damaged, or holds weights alone.
        """
        if Path(path).is_dir():
            from .distributed import read_shards

            state = read_shards(Path(path))
        else:
            state = load_state(path)
        if "iteration" not in state:
            raise WeightsError(
                f"'{path}' holds no training state ('iteration' is missing): it cannot be resumed, "
                "only start a new run as MODEL.WEIGHTS"
            )
        return state


def _check_plain(value: Any, where: str) -> None:
    """Find now, not at the resume, what a weights-only load refuses: NumPy numbers, above all."""
    if type(value) not in _PLAIN_TYPES:
        raise TypeError(
            f"{where} is a {type(value).__module__}.{type(value).__qualname__}; a checkpoint holds "
            "tensors, str, bytes, int, float, bool and None in dicts, lists and tuples"
        )
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(key, f"a key of {where}")
            _check_plain(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_plain(item, f"{where}[{index}]")


def _iteration(path: Path) -> int:
    match = _PERIODIC.fullmatch(path.name)
    assert match, path
    return int(match[1])
