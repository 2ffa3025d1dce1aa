"""Predictions drawn on images by NumPy and Pillow. Images are (H, W, 3) uint8 RGB throughout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from .classes import Color, label_colors, thing_colors
from .images import to_grey
from .masks import Window
from .metadata import ExportMetadata

_INK, _PAPER = (20, 22, 26), (255, 255, 255)


def overlay(
    image: np.ndarray, labels: np.ndarray, colors: Sequence[Color], alpha: float = 0.6
) -> np.ndarray:
    """Tint an image, which gives up its own colours, with those of its classes, and draw their
    outlines; labels that are no class leave it grey.

    Args:
        labels: (H, W) integers.
        alpha: opacity of the tint.
    """
    outside = ((labels < 0) | (labels >= len(colors)))[..., None]
    table = np.array([*colors, (0, 0, 0)], np.uint8)
    paint = table[np.where(outside[..., 0], len(colors), labels)]
    grey = np.repeat(to_grey(image), 3, axis=2)
    picture = np.where(_edges(labels)[..., None], paint, _mixed(grey, paint, alpha))
    return np.where(outside, grey, picture)


def draw_instances(
    image: np.ndarray,
    boxes: np.ndarray,
    *,
    windows: Sequence[Window] | None,
    texts: Sequence[str],
    colors: Sequence[Color],
    alpha: float = 0.45,
) -> np.ndarray:
    """Draw instances over an image, large ones first, so that small ones are not covered.

    Args:
        boxes: (D, 4) x1, y1, x2, y2 in pixels.
        windows: of the masks, see `paste_windows`; None: there are none.
        texts: a label for each.
        alpha: opacity of the masks.
    """
    picture = image.copy()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-areas, kind="stable").tolist()
    for i in order:
        if windows is not None:
            _tint(picture, windows[i], colors[i], alpha)
    drawn = Image.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    width = max(1, round(min(image.shape[:2]) / 500))
    for i in order:
        x0, y0, x1, y1 = boxes[i].tolist()
        right, bottom = max(x0, np.ceil(x1) - 1), max(y0, np.ceil(y1) - 1)
        pen.rectangle((x0, y0, right, bottom), outline=colors[i], width=width)
    _write(pen, [(texts[i], (boxes[i][0], boxes[i][1]), colors[i]) for i in order], drawn.size)
    return np.array(drawn)


def draw_panoptic(
    image: np.ndarray,
    ids: np.ndarray,
    segments: Iterable[Mapping[str, Any]],
    metadata: ExportMetadata,
    alpha: float = 0.55,
) -> np.ndarray:
    """Draw segments in the colours of their classes, each with its outline and its name.

    Args:
        ids: (H, W) integers, the id of each pixel's segment; 0 for none.
        segments: ``id``, ``isthing`` and ``category_id`` of each.
    """
    paint = image.copy()
    things, stuff = thing_colors(metadata), label_colors(metadata)
    labels = []
    for segment in segments:
        category, inside = segment["category_id"], ids == segment["id"]
        names = metadata.thing_classes if segment["isthing"] else metadata.stuff_classes
        color = (things if segment["isthing"] else stuff)[category]
        if not inside.any():
            continue
        paint[inside] = color
        rows, columns = np.nonzero(inside)
        middle = len(rows) // 2
        labels.append((names[category], (columns[middle], rows[middle]), color))
    picture = np.where(_edges(ids)[..., None], paint, _mixed(image, paint, alpha))
    drawn = Image.fromarray(np.where((ids == 0)[..., None], image, picture))
    _write(ImageDraw.Draw(drawn), labels, drawn.size)
    return np.array(drawn)


def _write(
    pen: ImageDraw.ImageDraw,
    labels: Iterable[tuple[str, tuple[float, float], Color]],
    image_size: tuple[int, int],
) -> None:
    """Write texts on plates of their colours, from their places upwards, inside the image."""
    font_size = int(np.clip(min(image_size) / 45, 11, 28))
    font = ImageFont.load_default(font_size)
    margin = max(2, font_size // 4)
    for text, (x, y), color in labels:
        width, height = round(font.getlength(text)) + 2 * margin, font_size + margin
        left = float(np.clip(x, 0, max(image_size[0] - width, 0)))
        top = float(np.clip(y - height, 0, max(image_size[1] - height, 0)))
        is_light = np.array(color) @ [0.2126, 0.7152, 0.0722] > 115
        pen.rectangle((left, top, left + width, top + height), fill=color)
        place = (left + margin, top + height / 2)
        pen.text(place, text, fill=_INK if is_light else _PAPER, font=font, anchor="lm")


def _tint(picture: np.ndarray, window: Window, color: Color, alpha: float) -> None:
    y, x, mask = window
    part = picture[y : y + mask.shape[0], x : x + mask.shape[1]]
    part[mask] = _mixed(part, np.full_like(part, color), alpha)[mask]
    if mask.size:
        padded = Image.fromarray(np.pad(mask, 1).astype(np.uint8))
        inside = np.asarray(padded.filter(ImageFilter.MinFilter(3)), bool)[1:-1, 1:-1]
        part[mask & ~inside] = color


def _edges(labels: np.ndarray) -> np.ndarray:
    """The pixels along the outlines of classes: (H, W) bool, wider in larger images."""
    size = 2 * max(1, round(min(labels.shape) / 240)) + 1
    image = Image.fromarray(labels if labels.dtype == np.uint8 else labels.astype(np.int32))
    largest, smallest = (
        np.asarray(image.filter(f(size))) for f in (ImageFilter.MaxFilter, ImageFilter.MinFilter)
    )
    return largest != smallest


def _mixed(image: np.ndarray, paint: np.ndarray, alpha: float) -> np.ndarray:
    weights = np.float32(1 - alpha), np.float32(alpha)
    return np.rint(image * weights[0] + paint * weights[1]).astype(np.uint8)
