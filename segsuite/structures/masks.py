"""The masks of the objects in an image: `BitMasks` of pixels, `PolygonMasks` of polygons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segsuite.errors import DataError
from segsuite.ops import roi_align

from .boxes import Boxes
from .polygons import check_polygons
from .rle import rasterize_polygons

Index = int | slice | Sequence[int] | Tensor

# Values of the float masks that `BitMasks.crop_and_resize` holds at a time.
_CHUNK = 1 << 25


class BitMasks:
    """Masks of pixels.

    Attributes:
        tensor: (N, H, W) bool.
    """

    def __init__(self, tensor: Tensor | np.ndarray) -> None:
        tensor = torch.as_tensor(tensor).to(torch.bool)
        if tensor.dim() != 3:
            raise ValueError(f"masks are {tuple(tensor.shape)}; expected (N, H, W)")
        self.tensor = tensor

    @classmethod
    def from_polygon_masks(
        cls, polygon_masks: PolygonMasks | Sequence[Sequence], height: int, width: int
    ) -> BitMasks:
        """Draw polygons on an image of `height` x `width` pixels."""
        if isinstance(polygon_masks, PolygonMasks):
            polygon_masks = polygon_masks.polygons
        return cls(rasterize_polygons(polygon_masks, height, width))

    @staticmethod
    def cat(masks: Sequence[BitMasks]) -> BitMasks:
        """Join masks of one image, one after another."""
        if not masks:
            raise ValueError("expected at least one BitMasks to join, got none")
        return BitMasks(torch.cat([m.tensor for m in masks]))

    def to(self, *args: Any, **kwargs: Any) -> BitMasks:
        """As `torch.Tensor.to`, for a device."""
        return BitMasks(self.tensor.to(*args, **kwargs))

    @property
    def device(self) -> torch.device:
        return self.tensor.device

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.tensor.shape[1], self.tensor.shape[2]

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, index: Index) -> BitMasks:
        """Some of the masks, or one: always a `BitMasks`."""
        chosen = self.tensor[index]
        return BitMasks(chosen[None] if chosen.dim() == 2 else chosen)

    def __iter__(self) -> Iterator[Tensor]:
        """The masks, (H, W) bool each."""
        return iter(self.tensor)

    def windows(self) -> Iterator[tuple[int, int, Tensor]]:
        """The masks as `ImageMasks` has them: each is a window as large as the image."""
        return ((0, 0, mask) for mask in self.tensor)

    def __repr__(self) -> str:
        n, h, w = self.tensor.shape
        return f"BitMasks({n} masks of {h} x {w})"

    def area(self) -> Tensor:
        """(N,) int64: the pixels of each mask."""
        return self.tensor.sum(dim=(1, 2))

    def nonempty(self) -> Tensor:
        """(N,) bool: whether a mask has a pixel."""
        return self.tensor.flatten(1).any(dim=1)

    def get_bounding_boxes(self) -> Boxes:
        """The smallest boxes around the masks' pixels; zeros for a mask without one."""
        x0, x1 = _first_and_end(self.tensor.any(dim=1))
        y0, y1 = _first_and_end(self.tensor.any(dim=2))
        return Boxes(torch.stack([x0, y0, x1, y1], dim=1).float())

    def crop_and_resize(
        self, boxes: Tensor, mask_size: int, objects: Tensor | None = None
    ) -> Tensor:
        """What of masks lies in boxes, at a fixed size: the targets of a mask head.

        The share of a bin that the mask covers is found by RoIAlign; half is enough.

        Args:
            boxes: (R, 4) x1, y1, x2, y2 in pixels.
            objects: (R,) integers on the CPU, the mask of each box; None: one box for each mask.

        Returns:
            (R, mask_size, mask_size) bool, on the device of the masks.
        """
        objects = _objects_of(boxes, len(self), objects)
        boxes = _onto(self.device, boxes).float()
        targets = self.tensor.new_empty(len(boxes), mask_size, mask_size)
        step = max(_CHUNK // max(self.image_size[0] * self.image_size[1], 1), 1)
        for start in range(0, len(self), step):
            masks = self.tensor[start : start + step, None].float()
            chosen = ((objects >= start) & (objects < start + step)).nonzero()[:, 0]
            of_chunk = _onto(self.device, objects[chosen] - start).to(boxes.dtype)
            chosen = _onto(self.device, chosen)
            rois = torch.cat([of_chunk[:, None], boxes[chosen]], dim=1)
            targets[chosen] = roi_align(masks, rois, mask_size)[:, 0] >= 0.5
        return targets


class PolygonMasks:
    """Masks of polygons: an object is the union of its own.

    Attributes:
        polygons: for each of N objects its polygons, flat float64 arrays ``[x0, y0, x1, y1, ...]``
            of 3 points or more, in pixels. They stay on the CPU.
    """

    def __init__(self, polygons: Sequence[Sequence]) -> None:
        self.polygons: list[list[np.ndarray]] = [
            [np.asarray(polygon, dtype=np.float64) for polygon in of_object]
            for of_object in polygons
        ]
        try:  # all together, which takes a fraction of the time: they are made for every sample
            check_polygons(list(chain.from_iterable(self.polygons)))
        except DataError:
            for i, arrays in enumerate(self.polygons):
                try:
                    check_polygons(arrays)
                except DataError as e:
                    raise DataError(f"object {i}: {e}") from None

    @classmethod
    def _of(cls, polygons: list[list[np.ndarray]]) -> PolygonMasks:
        """Of polygons that have been checked."""
        masks = cls.__new__(cls)
        masks.polygons = polygons
        return masks

    @staticmethod
    def cat(masks: Sequence[PolygonMasks]) -> PolygonMasks:
        """Join masks of one image, one after another."""
        if not masks:
            raise ValueError("expected at least one PolygonMasks to join, got none")
        return PolygonMasks._of([polygons for m in masks for polygons in m.polygons])

    def to(self, *args: Any, **kwargs: Any) -> PolygonMasks:
        """Polygons stay where they are: self."""
        return self

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def __len__(self) -> int:
        return len(self.polygons)

    def __getitem__(self, index: Index) -> PolygonMasks:
        """Some of the masks, or one: always a `PolygonMasks`."""
        if isinstance(index, int):
            return self._of([self.polygons[index]])
        if isinstance(index, slice):
            return self._of(self.polygons[index])
        index = torch.as_tensor(index, device="cpu")
        if index.dtype == torch.bool:
            if len(index) != len(self):
                raise IndexError(f"a mask of {len(index)} values for {len(self)} objects")
            index = index.nonzero()[:, 0]
        return self._of([self.polygons[i] for i in index.tolist()])

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        """The polygons of each object."""
        return iter(self.polygons)

    def __repr__(self) -> str:
        return f"PolygonMasks({len(self)} objects, {sum(map(len, self.polygons))} polygons)"

    def area(self) -> Tensor:
        """(N,) float32: the areas of an object's polygons, added up, in square pixels."""
        areas = [sum(_area(p) for p in of_object) for of_object in self.polygons]
        return torch.tensor(areas, dtype=torch.float32)

    def nonempty(self) -> Tensor:
        """(N,) bool: whether an object has a polygon."""
        return torch.tensor([len(of_object) > 0 for of_object in self.polygons], dtype=torch.bool)

    def get_bounding_boxes(self) -> Boxes:
        """The smallest boxes around the polygons; zeros for an object without one."""
        boxes = np.zeros((len(self), 4), dtype=np.float32)
        for box, of_object in zip(boxes, self.polygons, strict=True):
            if of_object:
                points = np.concatenate(of_object).reshape(-1, 2)
                box[:2], box[2:] = points.min(axis=0), points.max(axis=0)
        return Boxes(torch.from_numpy(boxes))

    def crop_and_resize(
        self, boxes: Tensor, mask_size: int, objects: Tensor | None = None
    ) -> Tensor:
        """What of objects lies in boxes, at a fixed size: the targets of a mask head.

        The polygons are scaled so that the box is `mask_size` pixels wide and high, and drawn by
        the rule of COCO's tools.

        Args:
            boxes: (R, 4) x1, y1, x2, y2 in pixels.
            objects: (R,) integers on the CPU, the object of each box; None: one box for each.

        Returns:
            (R, mask_size, mask_size) bool, on the device of `boxes`.
        """
        objects = _objects_of(boxes, len(self), objects)
        corners = boxes.detach().cpu().float().numpy()
        # float32 and the limit of a tenth of a pixel are Detectron2's.
        scales = mask_size / np.maximum(corners[:, 2:] - corners[:, :2], np.float32(0.1))
        polygons = [
            [((p.reshape(-1, 2) - corner) * scale).ravel() for p in self.polygons[i]]
            for i, corner, scale in zip(objects.tolist(), corners[:, :2], scales, strict=True)
        ]
        return rasterize_polygons(polygons, mask_size, mask_size).to(boxes.device)


def _objects_of(boxes: Tensor, num_masks: int, objects: Tensor | None) -> Tensor:
    """(R,) int64: the mask of each of (R, 4) boxes."""
    expected = num_masks if objects is None else len(objects)
    if boxes.shape != (expected, 4):
        raise ValueError(
            f"boxes are {tuple(boxes.shape)} for {expected} masks; expected ({expected}, 4): "
            "one box for each mask"
        )
    return torch.arange(num_masks) if objects is None else objects


def _onto(device: torch.device, tensor: Tensor) -> Tensor:
    """The tensor on `device`; one of the CPU is brought there without waiting."""
    return tensor.to(device, non_blocking=tensor.device.type == "cpu")


def _first_and_end(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row of an (N, L) bool, the first True and one past the last; zeros without one."""
    length = occupied.shape[1]
    place = torch.arange(length, device=occupied.device)
    end = ((place + 1) * occupied).amax(dim=1)
    first = length - ((length - place) * occupied).amax(dim=1)
    return torch.where(end > 0, first, 0), end


def _area(polygon: np.ndarray) -> float:
    x, y = polygon[0::2], polygon[1::2]
    return 0.5 * abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))
