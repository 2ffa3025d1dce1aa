"""Label maps drawn on images. Images are (H, W, 3) uint8 RGB throughout."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segsuite.data.palette import Color

from .errors import check_size


def colorize(labels: np.ndarray, colors: Sequence[Color], fill: Color = (0, 0, 0)) -> np.ndarray:
    """Paint each pixel in the colour of its class.

    Args:
        labels: (H, W) integers.
        colors: RGB of the classes 0 .. K - 1.
        fill: of every other label, the ignore label among them.
    """
    table = np.array([*colors, fill], dtype=np.uint8)
    outside = (labels < 0) | (labels >= len(colors))
    return table[np.where(outside, len(colors), labels)]


def overlay(
    image: np.ndarray,
    labels: np.ndarray,
    colors: Sequence[Color],
    *,
    alpha: float = 0.6,
    contours: bool = True,
) -> np.ndarray:
    """Tint an image with the colours of its classes; labels that are no class leave it grey.

    The image itself gives up its colours, so that those on the picture are those of the legend.

    Args:
        labels: (H, W) integers, of the size of the image.
        colors: RGB of the classes 0 .. K - 1.
        alpha: opacity of the tint.
        contours: draw the outlines of the classes in their full colour.

    Raises:
        DataError: image and labels differ in size.
    """
    check_size(image, labels)
    outside = ((labels < 0) | (labels >= len(colors)))[..., None]
    paint = colorize(labels, colors)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    picture = cv2.addWeighted(grey, 1 - alpha, paint, alpha, 0)
    if contours:
        picture = np.where(class_edges(labels)[..., None], paint, picture)
    return np.where(outside, grey, picture)


def class_edges(labels: np.ndarray) -> np.ndarray:
    """The pixels along the outlines of classes: (H, W) bool, wider in larger images."""
    values: np.ndarray = labels.astype(np.int16 if labels.max(initial=0) < 1 << 15 else np.float32)
    width = max(1, round(min(labels.shape) / 240))
    kernel = np.ones((2 * width + 1,) * 2, dtype=np.uint8)
    return cv2.dilate(values, kernel) != cv2.erode(values, kernel)
