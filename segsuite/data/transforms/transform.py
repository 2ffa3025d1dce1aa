"""Deterministic transforms, each joint for images, label maps, masks, coordinates, boxes, polygons.

Coordinates are continuous: x in [0, W], y in [0, H], and the centre of the first pixel is at
(0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .polygons import clip_polygon
from .resample import resize_bilinear, resize_nearest

Size = tuple[int, int]  # (height, width)


class Transform:
    """A transform that changes nothing; subclasses override what they change.

    Arrays that are passed in are left as they are; what is returned may be a view of them.
    """

    def output_size(self, size: Size) -> Size:
        """Height and width of what an image of `size` becomes."""
        return size

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) uint8 -> (H', W', C) uint8; three channels are RGB."""
        return image

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """(H, W) integer labels -> (H', W') of the same type; labels are never blended."""
        return segmentation

    def apply_masks(self, masks: np.ndarray) -> np.ndarray:
        """(N, H, W) uint8 or bool -> (N, H', W')."""
        if len(masks) == 0:
            return np.zeros((0, *self.output_size(masks.shape[1:])), masks.dtype)
        return np.stack([self.apply_mask(mask) for mask in masks])

    def apply_mask(self, mask: np.ndarray) -> np.ndarray:
        """(H, W) uint8 or bool -> (H', W')."""
        return self.apply_segmentation(mask)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """(N, 2) float points (x, y) -> (N, 2), not clipped to the image."""
        return coords

    def apply_box(self, boxes: np.ndarray) -> np.ndarray:
        """(N, 4) float boxes (x0, y0, x1, y1) -> (N, 4), not clipped to the image."""
        corners = self.apply_coords(np.asarray(boxes, dtype=float).reshape(-1, 2))
        corners = corners.reshape(-1, 2, 2)
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)

    def apply_polygons(self, polygons: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(N, 2) float polygons -> as many; a crop keeps their parts inside, (0, 2) for none."""
        if not polygons:
            return []
        points = self.apply_coords(np.concatenate(polygons))
        ends = np.cumsum([len(polygon) for polygon in polygons]).tolist()
        return [points[start:end] for start, end in zip([0, *ends], ends, strict=False)]


class TransformList(Transform):
    """Several transforms, one after another."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)

    def _chain(self, method: str, value: Any) -> Any:
        for transform in self.transforms:
            value = getattr(transform, method)(value)
        return value

    def output_size(self, size: Size) -> Size:
        return self._chain("output_size", size)

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        return self._chain("apply_image", image)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return self._chain("apply_segmentation", segmentation)

    def apply_mask(self, mask: np.ndarray) -> np.ndarray:
        return self._chain("apply_mask", mask)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return self._chain("apply_coords", coords)

    def apply_polygons(self, polygons: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self._chain("apply_polygons", polygons)


class ResizeTransform(Transform):
    """Resize, images bilinear with antialiasing, labels to the nearest, both as Pillow does."""

    def __init__(self, height: int, width: int, new_height: int, new_width: int) -> None:
        self.size = (height, width)
        self.new_size = (new_height, new_width)

    def output_size(self, size: Size) -> Size:
        return self.new_size

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        return resize_bilinear(image, self.new_size)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return resize_nearest(segmentation, self.new_size)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return coords * [self.new_size[1] / self.size[1], self.new_size[0] / self.size[0]]


class CropTransform(Transform):
    """Keep the window of `height` x `width` whose top left corner is (x, y)."""

    def __init__(self, x: int, y: int, height: int, width: int) -> None:
        self.x, self.y, self.height, self.width = x, y, height, width

    def output_size(self, size: Size) -> Size:
        return self.height, self.width

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        return image[self.y : self.y + self.height, self.x : self.x + self.width]

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return self.apply_image(segmentation)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return coords - [self.x, self.y]

    def apply_polygons(self, polygons: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [clip_polygon(p, self.height, self.width) for p in super().apply_polygons(polygons)]


class ResizedCropTransform(TransformList):
    """A resize and then a crop, of which what is cropped away is never computed."""

    def __init__(self, resize: ResizeTransform, crop: CropTransform) -> None:
        super().__init__([resize, crop])
        self.new_size = resize.new_size
        self.window = (crop.y, crop.x, crop.height, crop.width)

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        return resize_bilinear(image, self.new_size, self.window)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return resize_nearest(segmentation, self.new_size, self.window)

    def apply_mask(self, mask: np.ndarray) -> np.ndarray:
        return self.apply_segmentation(mask)


def fuse(transforms: Sequence[Transform]) -> TransformList:
    """Chain transforms: several resizes in a row become one, and a crop is fused with a resize."""
    fused: list[Transform] = []
    for transform in transforms:
        before = fused[-1] if fused else None
        if isinstance(before, ResizeTransform) and isinstance(transform, ResizeTransform):
            fused[-1] = ResizeTransform(*before.size, *transform.new_size)
        elif isinstance(before, ResizeTransform) and isinstance(transform, CropTransform):
            fused[-1] = ResizedCropTransform(before, transform)
        elif type(transform) is not Transform:
            fused.append(transform)
    return TransformList(fused)


class PadTransform(Transform):
    """Add rows below and columns to the right: of a colour, of a label, of zeros in masks."""

    def __init__(self, bottom: int, right: int, *, color: Sequence[int], label: int) -> None:
        self.bottom, self.right = bottom, right
        self.color, self.label = tuple(color), label

    def output_size(self, size: Size) -> Size:
        return size[0] + self.bottom, size[1] + self.right

    def _pad(self, array: np.ndarray, value: int | tuple[int, ...]) -> np.ndarray:
        height, width = array.shape[:2]
        padded = np.empty((*self.output_size((height, width)), *array.shape[2:]), array.dtype)
        padded[:height, :width] = array
        padded[height:] = value
        padded[:height, width:] = value
        return padded

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        return self._pad(image, self.color)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return self._pad(segmentation, self.label)

    def apply_mask(self, mask: np.ndarray) -> np.ndarray:
        return self._pad(mask, 0)


class HFlipTransform(Transform):
    """Mirror left and right an image `width` pixels wide."""

    def __init__(self, width: int) -> None:
        self.width = width

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        return image[:, ::-1]

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return segmentation[:, ::-1]

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return np.stack([self.width - coords[:, 0], coords[:, 1]], axis=1)


class VFlipTransform(Transform):
    """Mirror top and bottom of an image `height` pixels high."""

    def __init__(self, height: int) -> None:
        self.height = height

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        return image[::-1]

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return segmentation[::-1]

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return np.stack([coords[:, 0], self.height - coords[:, 1]], axis=1)
