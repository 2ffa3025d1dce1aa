"""Panoptic predictions drawn on images: every segment in a colour of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from segsuite.data.palette import Color, default_colors, rgb
from segsuite.errors import DataError

from .draw import class_edges
from .instances import label_size
from .labels import draw_labels


def draw_panoptic(
    image: np.ndarray,
    segmentation: np.ndarray,
    segments_info: Sequence[Mapping[str, Any]],
    *,
    thing_names: Sequence[str],
    stuff_names: Sequence[str],
    stuff_colors: Sequence[Color],
    thing_colors: Sequence[Color] | None = None,
    alpha: float = 0.55,
) -> np.ndarray:
    """Draw segments: stuff in the colours of its classes, things by default in hues of their own.

    Args:
        image: (H, W, 3) uint8 RGB.
        segmentation: (H, W) integers, the id of each pixel's segment; 0 for none.
        segments_info: ``id``, ``isthing`` and ``category_id`` of each segment, the last an index
            into the names of its kind.
        thing_colors: RGB of each thing among `segments_info`.

    Raises:
        DataError: image and segmentation differ in size.
    """
    if segmentation.shape != image.shape[:2]:
        raise DataError(
            f"the image has {image.shape[0]} x {image.shape[1]} pixels (height x width), the "
            f"segmentation {' x '.join(map(str, segmentation.shape))}; expected the same"
        )
    things = [s for s in segments_info if s["isthing"]]
    hues = iter(default_colors(len(things)) if thing_colors is None else thing_colors)
    ids = [0, *(int(s["id"]) for s in segments_info)]
    index = np.searchsorted(np.sort(ids), segmentation)
    order = np.argsort(ids)
    table = np.zeros((len(ids), 3), np.uint8)
    texts, anchors, colors = [], [], []
    for i, segment in enumerate(segments_info, 1):
        category = int(segment["category_id"])
        color = rgb(next(hues) if segment["isthing"] else stuff_colors[category])
        table[i] = color
        names = thing_names if segment["isthing"] else stuff_names
        mask = (segmentation == segment["id"]).astype(np.uint8)
        if not mask.any():
            continue
        texts.append(names[category])
        anchors.append(_inside(mask))
        colors.append(color)
    paint = table[order][index.clip(max=len(ids) - 1)]
    picture = cv2.addWeighted(image, 1 - alpha, paint, alpha, 0)
    picture = np.where(class_edges(segmentation)[..., None], paint, picture)
    picture = np.where((segmentation == 0)[..., None], image, picture)
    draw_labels(picture, texts, anchors, colors, font_size=label_size(image.shape[:2]))
    return picture


def _inside(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The point of a mask that lies deepest inside it, as an empty box."""
    scale = max(1, min(mask.shape) // 128)
    small = np.pad(mask[::scale, ::scale], 1)  # the outside of the image is not inside
    distance = cv2.distanceTransform(small, cv2.DIST_L2, 3)
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    x, y = int((column - 1) * scale), int((row - 1) * scale)
    return x, y, x, y
