"""Objects of a ground truth and detections as columns, which every engine takes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

# Compressed counts of an RLE of the image's size, or polygons: flat arrays x0, y0, x1, y1, ...
Segmentation = str | bytes | list[np.ndarray]
_Columns = TypeVar("_Columns", bound="_Annotations")


@dataclass(frozen=True)
class _Annotations:
    """What objects and detections have in common; see there."""

    images: np.ndarray
    categories: np.ndarray
    boxes: np.ndarray
    masks: Sequence[Segmentation | None]

    def __len__(self) -> int:
        return len(self.images)

    def take(self: _Columns, rows: np.ndarray | slice) -> _Columns:
        """Some of them: a slice, (M,) int64 positions, or (N,) bool."""
        columns = {name: column[rows] for name, column in vars(self).items() if name != "masks"}
        if isinstance(rows, slice):
            masks = self.masks[rows]
        else:
            rows = np.flatnonzero(rows) if rows.dtype == bool else rows
            masks = [self.masks[row] for row in rows.tolist()]
        return type(self)(**columns, masks=masks)

    def of_task(self: _Columns, task: str) -> _Columns:
        """Those that a task can compare: with a box ("bbox"), or with a mask ("segm")."""
        if task == "bbox":
            usable = ~np.isnan(self.boxes[:, 0])
        elif self.masks.count(None):
            usable = np.array([mask is not None for mask in self.masks])
        else:
            return self
        return self if usable.all() else self.take(usable)


@dataclass(frozen=True)
class COCOObjects(_Annotations):
    """N objects of a ground truth.

    Attributes:
        images: (N,) int64, numbers of their images: the place of the id among all, ascending.
        categories: (N,) int64, likewise.
        boxes: (N, 4) float64, x, y, width, height in pixels; NaN where there is none.
        masks: N segmentations; None where there is none.
        areas: (N,) float64, square pixels.
        crowds: (N,) bool.
    """

    areas: np.ndarray
    crowds: np.ndarray


@dataclass(frozen=True)
class COCODetections(_Annotations):
    """N detections; `images`, `categories`, `boxes` and `masks` are those of `COCOObjects`.

    Attributes:
        scores: (N,) float64. Among equal ones the first counts as the better.
    """

    scores: np.ndarray


@dataclass(frozen=True)
class COCOPart:
    """Some images with all that is in them.

    Attributes:
        images: (I,) int64, ascending numbers.
        sizes: (I, 2) int64, height and width.
        objects, detections: of these images.
    """

    images: np.ndarray
    sizes: np.ndarray
    objects: COCOObjects
    detections: COCODetections

    def take(self, images: np.ndarray) -> COCOPart:
        """The same with those alone that are among `images`, numbers in any order."""
        kept = np.isin(self.images, images)
        return COCOPart(
            self.images[kept],
            self.sizes[kept],
            self.objects.take(np.isin(self.objects.images, images)),
            self.detections.take(np.isin(self.detections.images, images)),
        )


def split_images(
    sizes: np.ndarray,
    objects: COCOObjects,
    detections: COCODetections | Callable[[int, int], COCODetections],
    step: int = 32,
) -> Iterator[COCOPart]:
    """All images, a few at a time, so that what an engine makes of them stays small.

    Args:
        sizes: (I, 2) int64, height and width by the number of the image.
        detections: or what gives those of the images from one number to before another.
        step: images of a part.
    """
    objects = sort_by_image(objects)
    if isinstance(detections, COCODetections):
        detections = functools.partial(_of_images, sort_by_image(detections))
    for first in range(0, len(sizes), step):
        last = min(first + step, len(sizes))
        yield COCOPart(
            np.arange(first, last),
            sizes[first:last],
            _of_images(objects, first, last),
            detections(first, last),
        )


def _of_images(columns: _Columns, first: int, last: int) -> _Columns:
    return columns.take(slice(*np.searchsorted(columns.images, (first, last))))


def sort_by_image(columns: _Columns) -> _Columns:
    """In the order of their images; within an image they keep theirs."""
    if (columns.images[1:] >= columns.images[:-1]).all():
        return columns
    return columns.take(np.argsort(columns.images, kind="stable"))


def concatenate(parts: Sequence[_Columns]) -> _Columns:
    """One after another; at least one."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in vars(parts[0])
        if name != "masks"
    }
    return type(parts[0])(**columns, masks=[mask for part in parts for mask in part.masks])
