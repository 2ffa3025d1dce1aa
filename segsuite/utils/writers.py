"""Writers: what becomes of the figures in an `EventStorage`."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import torch
from tqdm import tqdm

from .events import EventStorage
from .files import write_text

logger = logging.getLogger(__name__)


class EventWriter:
    """Writes the figures of a storage somewhere."""

    def open(self, *, start_iter: int, max_iter: int) -> None:
        """Get ready for a run up to `max_iter`; figures before `start_iter` are written already."""

    def write(self, storage: EventStorage, *, window: int) -> None:
        """Write what is new since the last call; the storage stands at a finished iteration.

        Args:
            window: iterations over which noisy figures are smoothed.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Finish writing; called also after an error."""


class JSONWriter(EventWriter):
    """One JSON object a line, ``{"iteration": 19, "lr": 0.01, "total_loss": 0.4, ...}``.

    Of a file that is there already, the whole lines from before the start are kept: a resumed run
    has each line once, even if the earlier one was killed while it wrote.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = Path(path)
        self._file: IO[str] | None = None

    def open(self, *, start_iter: int, max_iter: int) -> None:
        self._new_from = start_iter
        write_text(self._path, "".join(self._lines_before(start_iter)))
        self._file = self._path.open("a")

    def _lines_before(self, iteration: int) -> Iterator[str]:
        if not self._path.exists():
            return
        for line in self._path.read_text(errors="replace").splitlines():
            try:
                if json.loads(line)["iteration"] < iteration:
                    yield line + "\n"
            except (json.JSONDecodeError, KeyError, TypeError):
                logger.warning("%s: dropped a damaged line: %.60s", self._path, line)

    def write(self, storage: EventStorage, *, window: int) -> None:
        by_iteration: dict[int, dict[str, float | None]] = {}
        for name, (value, i) in storage.latest_with_smoothing_hint(window).items():
            if i >= self._new_from:
                # JSON has no NaN (the IoU of a class that does not occur may be one).
                by_iteration.setdefault(i, {})[name] = value if math.isfinite(value) else None
        assert self._file is not None, "open comes before write"
        for i in sorted(by_iteration):
            self._file.write(json.dumps({"iteration": i, **by_iteration[i]}) + "\n")
            self._new_from = i + 1
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class TensorboardWriter(EventWriter):
    """TensorBoard event files in a folder; without the package it says so once and does nothing."""

    def __init__(self, log_dir: str | os.PathLike):
        self._log_dir = os.fspath(log_dir)
        self._writer: Any = None

    def open(self, *, start_iter: int, max_iter: int) -> None:
        self._new_from = start_iter
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            logger.info("TensorBoard files are not written: pip install tensorboard")
            return
        # Whatever an earlier run wrote from start_iter on is hidden by purge_step.
        self._writer = SummaryWriter(self._log_dir, purge_step=start_iter)

    def write(self, storage: EventStorage, *, window: int) -> None:
        if self._writer is None:
            return
        for name, (value, i) in storage.latest_with_smoothing_hint(window).items():
            if i >= self._new_from:
                self._writer.add_scalar(name, value, i)
        self._new_from = storage.iter + 1
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class ConsoleWriter(EventWriter):
    """A log line a write, and on a terminal a progress bar below: loss, speed and time left.

    Reads ``total_loss``, every ``loss*``, ``lr``, ``time`` and ``data_time`` (seconds), whichever
    there are.
    """

    def __init__(self) -> None:
        self._bar: Any = None

    def open(self, *, start_iter: int, max_iter: int) -> None:
        self._max_iter = max_iter
        if sys.stdout.isatty():
            self._bar = tqdm(
                total=max_iter, initial=start_iter, unit="it", file=sys.stdout, dynamic_ncols=True
            )

    def write(self, storage: EventStorage, *, window: int) -> None:
        figures = {
            name: value
            for name, (value, i) in storage.latest_with_smoothing_hint(window).items()
            if i == storage.iter
        }
        finished = storage.iter + 1
        logger.info("%s", self._line(figures, finished))
        if self._bar is not None:
            if "total_loss" in figures:
                self._bar.set_postfix_str(f"loss {figures['total_loss']:.4g}", refresh=False)
            self._bar.update(finished - self._bar.n)

    def _line(self, figures: dict[str, float], finished: int) -> str:
        parts = [f"iter {finished}/{self._max_iter}"]
        losses = [n for n in figures if n == "total_loss" or n.startswith("loss")]
        # A single loss is the total.
        for name in losses[:1] if len(losses) == 2 else losses:
            parts.append(f"{name} {figures[name]:.4g}")
        if "lr" in figures:
            parts.append(f"lr {figures['lr']:.4g}")
        if "time" in figures:
            seconds = figures["time"]
            data = f" (data {figures['data_time']:.3f})" if "data_time" in figures else ""
            parts.append(f"{seconds:.3f} s/iter{data}")
            left = timedelta(seconds=int(seconds * (self._max_iter - finished)))
            parts.append(f"eta {left}")
        if torch.cuda.is_available():
            parts.append(f"mem {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")
        return "  ".join(parts)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
