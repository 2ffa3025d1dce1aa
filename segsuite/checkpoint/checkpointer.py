"""`Checkpointer`: checkpoints that survive a kill at any moment, and damage to the last of them."""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from segsuite.errors import ConfigError, FileAccessError, WeightsError
from segsuite.utils.files import atomic_file, remove_unfinished

from .integrity import seal
from .load_state import load_state

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
_PERIODIC = re.compile(r"model_(\d{7,})\.pth")


class Checkpointer:
    """The checkpoints of one run in one folder, written by one process.

    Files named ``model_<iteration, 7 digits>.pth`` are periodic: the newest `keep` are kept, and
    training resumes from the newest that is undamaged. Other names (``model_final``,
    ``model_best``) stay until they are overwritten. See docs/checkpoints.md for the content.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int = 2):
        if keep < 1:
            raise ConfigError(f"SOLVER.CHECKPOINTS_TO_KEEP is {keep}; it must be at least 1")
        self.directory = Path(directory)
        self.keep = keep

    def save_periodic(self, iteration: int, state: dict[str, Any]) -> Path:
        """`save` under the name of the periodic checkpoint after `iteration` iterations."""
        return self.save(f"model_{iteration:07d}", state)

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
        try:
            remove_unfinished(self.directory, path.suffix)  # by a run that was killed
            with atomic_file(path, "wb") as file:
                file.write(archive)
                file.write(comment)
        except OSError as error:
            free = shutil.disk_usage(self.directory).free if self.directory.is_dir() else 0
            raise FileAccessError(
                error.errno,
                f"cannot write checkpoint '{path}' ({len(archive) / 1e6:.1f} MB, {free / 1e6:.1f} "
                f"MB free): {error.strerror}. Earlier checkpoints are intact; make room or choose "
                "another OUTPUT_DIR, and resume",
            ) from error
        if _PERIODIC.fullmatch(path.name):
            files = self.periodic()
            for old in files[files.index(path) + self.keep :]:
                old.unlink(missing_ok=True)
        return path

    def periodic(self) -> list[Path]:
        """The periodic checkpoints, newest first, by the iteration in their names."""
        files = [p for p in self.directory.glob("model_*.pth") if _PERIODIC.fullmatch(p.name)]
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
