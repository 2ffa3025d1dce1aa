"""Text on pictures: labels that stay inside the image and do not cover one another."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segsuite.data.palette import Color, rgb

Rectangle = tuple[int, int, int, int]  # x0, y0, x1, y1; the last two lie outside

_INK, _PAPER = (20, 22, 26), (255, 255, 255)


def place_labels(
    anchors: Sequence[Rectangle], sizes: Sequence[tuple[int, int]], image_size: tuple[int, int]
) -> list[Rectangle | None]:
    """Find a place for the label of each box.

    Tried in this order: above the box, inside its top left corner, below it, at its top right, and
    then rings of places around. Earlier boxes choose first.

    Args:
        anchors: the boxes, in pixels.
        sizes: (width, height) of each label.
        image_size: (height, width).

    Returns:
        A rectangle for each label, inside the image and over no other; None where no place near
        the box is free.
    """
    height, width = image_size
    taken = np.zeros((0, 4), dtype=np.int64)
    places: list[Rectangle | None] = []
    for anchor, (w, h) in zip(anchors, sizes, strict=True):
        corners = _candidates(anchor, w, h)
        corners[:, 0] = corners[:, 0].clip(0, max(width - w, 0))
        corners[:, 1] = corners[:, 1].clip(0, max(height - h, 0))
        rectangles = np.concatenate([corners, corners + np.array([w, h])], axis=1)
        overlap = (
            (rectangles[:, None, 0] < taken[None, :, 2])
            & (taken[None, :, 0] < rectangles[:, None, 2])
            & (rectangles[:, None, 1] < taken[None, :, 3])
            & (taken[None, :, 1] < rectangles[:, None, 3])
        )
        free = np.flatnonzero(~overlap.any(axis=1))
        if w > width or h > height or not len(free):
            places.append(None)
            continue
        chosen = rectangles[free[0]]
        taken = np.concatenate([taken, chosen[None]])
        x0, y0, x1, y1 = chosen.tolist()
        places.append((x0, y0, x1, y1))
    return places


def _candidates(anchor: Rectangle, w: int, h: int) -> np.ndarray:
    """(M, 2) top left corners of a label, the best first."""
    x0, y0, x1, y1 = anchor
    near = [(x0, y0 - h), (x0, y0), (x0, y1), (x1 - w, y0 - h), (x1 - w, y1 - h), (x0, y1 - h)]
    middle = ((x0 + x1 - w) // 2, (y0 + y1 - h) // 2)
    steps = [(i, j) for i in range(-4, 5) for j in range(-6, 7)]
    steps.sort(key=lambda s: s[0] ** 2 * w * w + s[1] ** 2 * h * h)
    around = [(middle[0] + i * w // 2, middle[1] + j * h // 2) for i, j in steps]
    return np.array(near + around, dtype=np.int64)


def draw_labels(
    picture: np.ndarray,
    texts: Sequence[str],
    anchors: Sequence[Rectangle],
    colors: Sequence[Color],
    *,
    font_size: int,
) -> None:
    """Write a label on a plate of its colour near each box, into `picture` itself.

    Args:
        picture: (H, W, 3) uint8 RGB.
        anchors: boxes in pixels; the first ones choose their places first.
        font_size: in pixels.
    """
    plates = [_plate(t, rgb(c), font_size) for t, c in zip(texts, colors, strict=True)]
    sizes = [(plate.shape[1], plate.shape[0]) for plate in plates]
    for place, plate in zip(place_labels(anchors, sizes, picture.shape[:2]), plates, strict=True):
        if place is not None:
            x0, y0, x1, y1 = place
            target = picture[y0:y1, x0:x1]
            target[:] = cv2.addWeighted(target, 0.12, plate, 0.88, 0)


@functools.lru_cache(maxsize=512)
def _plate(text: str, color: Color, font_size: int) -> np.ndarray:
    font = ImageFont.load_default(font_size)
    margin = max(2, font_size // 4)
    width = round(font.getlength(text)) + 2 * margin
    height = font_size + 2 * max(1, margin // 2)
    image = Image.new("RGB", (width, height), color)
    position = (margin, height / 2)
    ImageDraw.Draw(image).text(position, text, fill=ink(color), font=font, anchor="lm")
    return np.array(image)


def ink(color: Color) -> Color:
    """Black or white, whichever is read better on `color` (contrast of WCAG 2.2)."""
    channels = np.array(color, dtype=np.float64) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return _INK if linear @ [0.2126, 0.7152, 0.0722] > 0.18 else _PAPER
