"""Pixel counts of each image, from which its own figures and confidence intervals are computed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import torch

from segsuite.errors import MissingFileError
from segsuite.utils import comm
from segsuite.utils.files import atomic_file

from .metrics import pixel_counts


@dataclass
class ImageCounts:
    """What every image adds to the figures of a data set.

    Attributes:
        image_ids, file_names: of the images, in the order of `counts`.
        counts: (3, K) int64 each, on the device of the predictions: pixels that are right, that
            are labelled and that are predicted, by class; ignored pixels are in none.
    """

    image_ids: list[str] = field(default_factory=list)
    file_names: list[str] = field(default_factory=list)
    counts: list[torch.Tensor] = field(default_factory=list)

    def add(self, image_id: object, file_name: object, matrix: torch.Tensor) -> None:
        """Take in an image's confusion matrix, (K + 1, K + 1) [target, prediction]."""
        self.image_ids.append(str(image_id))
        self.file_names.append(str(file_name))
        self.counts.append(pixel_counts(matrix))

    def gather(self) -> dict:
        """All processes' images: ``image_ids``, ``file_names`` and ``counts`` (N, 3, K) int64.

        On the main process; the others get their own images alone.
        """
        own = {
            "image_ids": self.image_ids,
            "file_names": self.file_names,
            "counts": [] if not self.counts else [torch.stack(self.counts).cpu()],
        }
        parts = comm.gather(own) or [own]
        counts = [x for part in parts for x in part["counts"]]
        return {
            "image_ids": [x for part in parts for x in part["image_ids"]],
            "file_names": [x for part in parts for x in part["file_names"]],
            "counts": torch.cat(counts) if counts else None,
        }


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
