"""`ROIMasks`: instance masks that are only made large where somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segsuite.ops.bilinear import hat_weights, positions_in_box

from .image_masks import ImageMasks, Window


@dataclass
class ROIMasks(ImageMasks):
    """Mask probabilities in the boxes of an image's instances, M x M values for each box.

    A pixel takes the bilinear interpolation of the values around its centre, zero outside of the
    box, as Detectron2's and COCO's Mask R-CNN do.

    Attributes:
        probabilities: (N, M, M) in [0, 1].
        boxes: (N, 4) x1, y1, x2, y2 in pixels of the image, each wider and higher than 0.
        image_size: (height, width).
        threshold: a pixel belongs to the instance from this probability on.
    """

    probabilities: Tensor
    boxes: Tensor
    image_size: tuple[int, int]
    threshold: float = 0.5

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, index: int | slice | Tensor) -> ROIMasks:
        """Some of the masks, or one: always `ROIMasks`."""
        chosen = [index] if isinstance(index, int) else index
        return ROIMasks(
            self.probabilities[chosen], self.boxes[chosen], self.image_size, self.threshold
        )

    def to(self, *args: Any, **kwargs: Any) -> ROIMasks:
        """As `torch.Tensor.to`, for a device."""
        return ROIMasks(
            self.probabilities.to(*args, **kwargs),
            self.boxes.to(*args, **kwargs),
            self.image_size,
            self.threshold,
        )

    def windows(self) -> Iterator[Window]:
        """For each instance the part of the image that its mask lies in: the first row and column
        of it and its pixels, (h, w) bool."""
        height, width = self.image_size
        starts = (self.boxes[:, :2].floor() - 1).clamp(min=0).long().tolist()
        ends = (self.boxes[:, 2:].ceil() + 1).long().tolist()
        for probability, box, (x0, y0), (x1, y1) in zip(
            self.probabilities.float(), self.boxes.float(), starts, ends, strict=True
        ):
            size = probability.shape[-1]
            rows = _interpolation(y0, min(y1, height), box[1], box[3], size)
            columns = _interpolation(x0, min(x1, width), box[0], box[2], size)
            yield y0, x0, rows @ probability @ columns.t() >= self.threshold


def whole_pixel_boxes(boxes: Tensor, mask_size: int) -> Tensor:
    """The boxes in which `ROIMasks` pastes as torchvision does: into whole pixels.

    There a mask gets a margin of one value, its box is enlarged to match and rounded towards zero,
    and the mask is resized to the pixels from the first corner's to the last corner's.

    Args:
        boxes: (..., 4) x1, y1, x2, y2.
        mask_size: M of the M x M values in each box.
    """
    centres = (boxes[..., 2:] + boxes[..., :2]) * 0.5
    halves = (boxes[..., 2:] - boxes[..., :2]) * 0.5 * ((mask_size + 2) / mask_size)
    low, high = (centres - halves).trunc(), (centres + halves).trunc() + 1
    margin = (high - low) / (mask_size + 2)
    return torch.cat([low + margin, high - margin], dim=-1)


def _interpolation(start: int, end: int, low: Tensor, high: Tensor, size: int) -> Tensor:
    """(end - start, size): what each of `size` values, spread evenly from `low` to `high`, weighs
    at the centres of the pixels from `start` on."""
    pixels = torch.arange(start, max(end, start), device=low.device)
    return hat_weights(positions_in_box(pixels, low, high, size), size)
