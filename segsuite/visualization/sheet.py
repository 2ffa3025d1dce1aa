"""Pictures put together: titled panels in a row, a legend of classes, contact sheets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segsuite.data.palette import Color, rgb

from .draw import overlay
from .errors import ERROR_COLORS, error_map

_PAPER = (255, 255, 255)
_INK = (33, 37, 41)
_GAP = 8
_FONT_SIZE = 15
_LINE = 24
_LABEL_ERRORS = ("found", "another class", "does not count")


def comparison(
    image: np.ndarray,
    prediction: np.ndarray,
    target: np.ndarray | None,
    colors: Sequence[Color],
    *,
    ignore_label: int = 255,
    panel_width: int = 320,
    titles: bool = True,
) -> np.ndarray:
    """Image and prediction side by side, with ground truth and errors where there is a truth.

    Args:
        image: (H, W, 3) uint8 RGB.
        prediction, target: (H, W) integer labels.
        panel_width: pixels of each panel; the image is scaled to it.
        titles: write above each panel what it is.
    """
    image = fit_width(image, panel_width)
    size = (image.shape[1], image.shape[0])
    prediction = _resize_labels(prediction, size)
    panels = [("image", image), ("prediction", overlay(image, prediction, colors))]
    if target is not None:
        target = _resize_labels(target, size)
        panels += [
            ("ground truth", overlay(image, target, colors)),
            ("errors", error_map(image, prediction, target, ignore_label)),
        ]
    return _beside([_titled(title, panel) if titles else panel for title, panel in panels])


def legend(names: Sequence[str], colors: Sequence[Color], width: int) -> np.ndarray:
    """A strip of colour swatches with class names, in as many lines as `width` pixels need."""
    font = _font()
    swatch = 16
    x, y, places = 0, 0, []
    for name in names:
        entry = swatch + 6 + round(font.getlength(name)) + 18
        if x and x + entry > width:
            x, y = 0, y + _LINE
        places.append((x, y))
        x += entry
    strip = Image.new("RGB", (width, y + _LINE), _PAPER)
    draw = ImageDraw.Draw(strip)
    for (x, y), name, color in zip(places, names, colors, strict=True):
        top = y + (_LINE - swatch) // 2
        draw.rounded_rectangle((x, top, x + swatch, top + swatch), radius=4, fill=rgb(color))
        draw.text((x + swatch + 6, y + _LINE // 2), name, fill=_INK, font=font, anchor="lm")
    return np.asarray(strip)


def error_legend(width: int) -> np.ndarray:
    """A strip that says what the colours of the errors of label maps mean."""
    names = [f"errors: {name}" for name in _LABEL_ERRORS]
    return legend(names, [ERROR_COLORS[name] for name in _LABEL_ERRORS], width)


def contact_sheet(
    pictures: Sequence[np.ndarray], *, columns: int = 1, footer: np.ndarray | None = None
) -> np.ndarray:
    """Pictures of any sizes in a grid on white, with a margin; `footer` goes below, on the left.

    Raises:
        ValueError: there is no picture.
    """
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    rows = [_beside(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    if footer is not None:
        rows.append(footer)
    width = max(row.shape[1] for row in rows)
    lines = []
    for row in rows:
        lines += [_pad(row, row.shape[0], width), np.full((_GAP, width, 3), 255, np.uint8)]
    margin = ((_GAP, _GAP), (_GAP, _GAP), (0, 0))
    return np.pad(np.concatenate(lines[:-1]), margin, constant_values=255)


def fit_width(image: np.ndarray, width: int) -> np.ndarray:
    """Scale (H, W, 3) uint8 to a width in pixels, with its proportions."""
    scale = width / image.shape[1]
    size = (width, max(1, round(image.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=interpolation)


def save_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB in the format that the ending of `path` says; makes the folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=92, optimize=True)


def _titled(title: str, panel: np.ndarray) -> np.ndarray:
    bar = Image.new("RGB", (panel.shape[1], _LINE), _PAPER)
    position = (0, _LINE // 2)
    ImageDraw.Draw(bar).text(position, title, fill=_INK, font=_font(), anchor="lm")
    return np.concatenate([np.asarray(bar), panel])


def _beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    height = max(picture.shape[0] for picture in pictures)
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    parts = []
    for picture in pictures:
        parts += [_pad(picture, height, picture.shape[1]), gap]
    return np.concatenate(parts[:-1], axis=1)


def _pad(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    below, right = height - picture.shape[0], width - picture.shape[1]
    return np.pad(picture, ((0, below), (0, right), (0, 0)), constant_values=255)


def _resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(labels.astype(np.int16), size, interpolation=cv2.INTER_NEAREST_EXACT)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE)
