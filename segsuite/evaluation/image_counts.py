"""Pixel counts of each image, from which its own figures and confidence intervals are computed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import torch

from segsuite.errors import MissingFileError
from segsuite.utils import comm
from segsuite.utils.files import atomic_file

from .boundary import boundary_counts
from .metrics import pixel_counts


@dataclass
class ImageCounts:
    """What every image adds to the figures of a data set.

    Attributes:
        image_ids, file_names: of the images, in the order of `counts`.
        counts: (3, K) int64 each, on the device of the predictions: pixels that are right, that
            are labelled and that are predicted, by class; ignored pixels are in none.
        boundary_counts: the same of the bands of boundary IoU, or nothing.
    """

    image_ids: list[str] = field(default_factory=list)
    file_names: list[str] = field(default_factory=list)
    counts: list[torch.Tensor] = field(default_factory=list)
    boundary_counts: list[torch.Tensor] = field(default_factory=list)

    def add(
        self,
        image_id: object,
        file_name: object,
        matrix: torch.Tensor,
        boundary_matrix: torch.Tensor | None = None,
    ) -> None:
        """Take in an image's confusion matrix, (K + 1, K + 1) [target, prediction], and that of
        `boundary_confusion_matrix`."""
        self.image_ids.append(str(image_id))
        self.file_names.append(str(file_name))
        self.counts.append(pixel_counts(matrix))
        if boundary_matrix is not None:
            self.boundary_counts.append(boundary_counts(boundary_matrix))

    def gather(self) -> dict:
        """All processes' images: ``image_ids``, ``file_names``, ``counts`` (N, 3, K) int64, and
        ``boundary_counts`` where there are some.

        On the main process; the others get their own images alone.
        """
        own = {
            "image_ids": self.image_ids,
            "file_names": self.file_names,
            "counts": _stacked(self.counts),
            "boundary_counts": _stacked(self.boundary_counts),
        }
        parts = comm.gather(own) or [own]
        together: dict[str, Any] = {name: [x for part in parts for x in part[name]] for name in own}
        for name in ("counts", "boundary_counts"):
            together[name] = torch.cat(together[name]) if together[name] else None
        if together["boundary_counts"] is None:
            del together["boundary_counts"]
        return together


def _stacked(counts: list[torch.Tensor]) -> list[torch.Tensor]:
    return [torch.stack(counts).cpu()] if counts else []


def save_image_counts(path: str | os.PathLike, gathered: dict) -> None:
    """Write what `ImageCounts.gather` gave, for `load_image_counts`."""
    with atomic_file(path, "wb") as file:
        torch.save(gathered, file)


def load_image_counts(path: str | os.PathLike) -> dict:
    """The ``image_ids``, ``file_names`` and (N, 3, K) int64 ``counts`` of an evaluation.

    Raises:
        MissingFileError: there is no such file.
    """
    if not os.path.exists(path):
        raise MissingFileError(
            f"no pixel counts {path}: evaluate the run again, which writes them (segsuite eval)"
        )
    return torch.load(path, weights_only=True)


def image_ious(counts: torch.Tensor) -> torch.Tensor:
    """The mean IoU of each image over the classes that are labelled or predicted in it.

    Args:
        counts: (N, 3, K) int64 from `load_image_counts`.

    Returns:
        (N,) float64 in [0, 1], NaN for images without a labelled pixel.
    """
    right, labelled, predicted = counts.unbind(1)
    iou = right.double() / (labelled + predicted - right)  # 0 / 0 is NaN
    return iou.nanmean(-1).masked_fill(labelled.sum(-1) == 0, torch.nan)
