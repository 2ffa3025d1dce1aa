"""`SlidingWindow`: images larger than a network can take at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from segsuite.errors import ConfigError
from segsuite.ops.bilinear import pixels_up_to
from segsuite.structures import SemSegLogits

from .windows import window_starts, window_weights

# Rows of pixels that `bands` brings to full size at a time.
_ROWS = 64


class SlidingWindow(nn.Module):
    """Runs a semantic model on overlapping windows and blends their logits.

    Takes and returns records as the model in evaluation does. Windows start on the grid of the
    model's coarsest features and end at the image's edge where the image does, so that each window
    computes a part of what the whole image would give: a model whose pixels see no further than a
    quarter of the overlap (and pool nothing over the image) gives the same logits, to rounding, as
    on the whole image.

    The model sees one window at a time, and its logits are blended at their own resolution. Where
    even those of the whole image are too large for the memory, see `bands`.

    Args:
        model: takes ``[{"image": (C, H, W)}]`` and returns ``[{"sem_seg": SemSegLogits}]``, such as
            a SemanticSegmentor.
        window_size: (height, width) in pixels, multiples of `alignment`.
        overlap: share of a window that its neighbour covers at least, in [0, 1); 0 leaves seams.
        alignment: multiple of the strides of all the model's features.

    Raises:
        ConfigError: the size is no multiple of `alignment`, or the overlap is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        window_size: Sequence[int],
        overlap: float = 0.25,
        alignment: int = 32,
    ):
        super().__init__()
        if len(window_size) != 2 or any(size <= 0 or size % alignment for size in window_size):
            raise ConfigError(
                f"TEST.SLIDING_WINDOW.SIZE is {list(window_size)}; expected (height, width), both "
                f"multiples of {alignment}, the grid of the model's features"
            )
        if not 0 <= overlap < 1:
            raise ConfigError(
                f"TEST.SLIDING_WINDOW.OVERLAP is {overlap}; expected a share in [0, 1), as 0.25"
            )
        self.model = model
        self.window_size = tuple(window_size)
        self.overlap = overlap
        self.alignment = alignment

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, SemSegLogits]]:
        return [{"sem_seg": self._whole(record)} for record in batched_inputs]

    def bands(self, record: dict[str, Any]) -> Iterator[tuple[slice, torch.Tensor]]:
        """The logits at full size, a few rows at a time from top to bottom.

        What is kept of the image is one row of windows at the resolution of the logits::

            for rows, logits in model.bands(record):
                labels[rows] = logits.argmax(0)

        Yields:
            rows: of pixels, a slice.
            logits: (L, rows, W) float32, one for each label, see `SemSegLogits`.
        """
        plan, size = self._plan(record), _size(record)
        scale = plan.source_size[0] / size[0]
        block, done = None, 0
        for start, band in self._bands_of_cells(record, plan):
            # Pixels between two bands are interpolated from the last cells of the first.
            block = band if block is None else torch.cat([block[:, -1:], band], dim=1)
            end = start + band.shape[1]
            block_start = end - block.shape[1]
            is_last = end == plan.rows.ends[-1]
            until = size[0] if is_last else min(pixels_up_to(end - 1, scale), size[0])
            logits = SemSegLogits(block, plan.source_size, size, plan.threshold).deciding_logits()
            prediction = SemSegLogits(logits, plan.source_size, size)
            columns = torch.arange(size[1], device=block.device)
            for first in range(done, until, _ROWS):
                rows = slice(first, min(first + _ROWS, until))
                pixels = torch.arange(rows.start, rows.stop, device=block.device).double()
                yield rows, prediction.grid(pixels - block_start / scale, columns)
            done = until

    def _whole(self, record: dict[str, Any]) -> SemSegLogits:
        plan = self._plan(record)
        logits = plan.zeros(plan.rows.ends[-1])
        for start, band in self._bands_of_cells(record, plan):
            logits[:, start : start + band.shape[1]] = band
        return SemSegLogits(logits, plan.source_size, _size(record), plan.threshold)

    def _plan(self, record: dict[str, Any]) -> _Plan:
        starts = [
            window_starts(length, window, self.overlap, self.alignment)
            for length, window in zip(record["image"].shape[-2:], self.window_size, strict=True)
        ]
        # How many cells there are is known of the first window and the last.
        first = last = self._predict(record, starts[0][0], starts[1][0])
        if max(map(len, starts)) > 1:
            last = self._predict(record, starts[0][-1], starts[1][-1])
        rows, columns = (self._axis(axis, starts[axis], first, last) for axis in (0, 1))
        height, width = last.source_size
        source_size = (rows.starts[-1] + height, columns.starts[-1] + width)
        known = {(starts[0][0], starts[1][0]): first, (starts[0][-1], starts[1][-1]): last}
        return _Plan(rows, columns, source_size, known)

    def _axis(self, axis: int, pixels: list[int], first: SemSegLogits, last: SemSegLogits) -> _Axis:
        cells, window = first.logits.shape[1 + axis], self.window_size[axis]
        stride, rest = divmod(window, cells)
        if len(pixels) > 1 and (rest or self.alignment % stride):
            raise ConfigError(
                f"the model gives {cells} logits for {window} pixels; windows can be joined where "
                f"the stride of the logits divides {self.alignment}"
            )
        starts = [pixel // stride for pixel in pixels] if len(pixels) > 1 else [0]
        ends = [start + cells for start in starts[:-1]]
        ends.append(starts[-1] + last.logits.shape[1 + axis])
        shared = min((e - s for e, s in zip(ends, starts[1:], strict=False)), default=0)
        weights = window_weights(starts, ends, shared)
        return _Axis(pixels, starts, ends, [w.to(first.logits.device).float() for w in weights])

    def _bands_of_cells(
        self, record: dict[str, Any], plan: _Plan
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """First row and logits (K, rows, w) of the rows that a row of windows completes."""
        rows, columns, buffer = plan.rows, plan.columns, plan.zeros(0)
        for i, y in enumerate(rows.pixels):
            for j, x in enumerate(columns.pixels):
                prediction = plan.known.get((y, x)) or self._predict(record, y, x)
                logits = prediction.logits.float()
                missing = rows.ends[i] - rows.starts[i] - buffer.shape[1]
                if missing:
                    buffer = torch.cat([buffer, plan.zeros(missing)], dim=1)
                weights = rows.weights[i][:, None] * columns.weights[j]
                buffer[:, :, columns.starts[j] : columns.ends[j]] += logits * weights
            is_last = i == len(rows.starts) - 1
            finished = (rows.ends[i] if is_last else rows.starts[i + 1]) - rows.starts[i]
            yield rows.starts[i], buffer[:, :finished]
            buffer = buffer[:, finished:]

    def _predict(self, record: dict[str, Any], y: int, x: int) -> SemSegLogits:
        height, width = self.window_size
        window = {"image": record["image"][:, y : y + height, x : x + width]}
        if "file_name" in record:
            window["file_name"] = record["file_name"]
        return self.model([window])[0]["sem_seg"]


@dataclass
class _Axis:
    """Windows along one axis: their first pixels, their logits' first and last cells + 1."""

    pixels: list[int]
    starts: list[int]
    ends: list[int]
    weights: list[torch.Tensor]


@dataclass
class _Plan:
    """Windows of an image, the size of its joined logits, and what is predicted already."""

    rows: _Axis
    columns: _Axis
    source_size: tuple[float, float]
    known: dict[tuple[int, int], SemSegLogits]

    @property
    def threshold(self) -> float:
        """Of one class, see `SemSegLogits`."""
        return next(iter(self.known.values())).threshold

    def zeros(self, rows: int) -> torch.Tensor:
        """(K, rows, w) float32: no logits yet."""
        like = next(iter(self.known.values())).logits
        return like.new_zeros(len(like), rows, self.columns.ends[-1], dtype=torch.float32)


def _size(record: dict[str, Any]) -> tuple[int, int]:
    height, width = record["image"].shape[-2:]
    return record.get("height", height), record.get("width", width)
