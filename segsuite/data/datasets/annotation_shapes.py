"""What annotation programs draw, as the segmentations of COCO's format.

An object is one shape or several: polygons with holes, bitmaps in a window of the image, boxes.
Polygons without holes stay polygons; anything else becomes the run lengths of its pixels.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from segsuite.errors import DataError
from segsuite.structures import encode_window, rasterize_polygons
from segsuite.structures.rle import RLE

# Text chunks and the like beside the pixels of an embedded PNG.
_SPARE_BYTES = 1 << 16
# The least error, in pixels, that circles and ellipses are drawn with as polygons.
_ROUNDNESS = 0.1


@dataclass
class Polygon:
    """An outline, (N, 2) x, y in pixels, and those of the holes in it."""

    points: np.ndarray
    holes: list[np.ndarray] = field(default_factory=list)


@dataclass
class Bitmap:
    """Pixels, (h, w) bool, from the row `top` and the column `left` of the image on."""

    mask: np.ndarray
    top: int
    left: int


@dataclass
class Box:
    """Where an object is, x0, y0, x1, y1 in pixels; it says nothing of its mask."""

    corners: tuple[float, float, float, float]


Shape = Polygon | Bitmap | Box


def to_points(values: Any) -> np.ndarray:
    """The points of an outline: (N, 2) float64.

    Args:
        values: a list of x, y pairs, or x, y, x, y, ... in one list.

    Raises:
        DataError: there are no pairs of finite numbers.
    """
    try:
        points = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    if points.ndim == 1 and len(points) % 2 == 0:
        points = points.reshape(-1, 2)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise DataError(f"its points are {str(values)[:80]}; expected pairs of numbers, x and y")
    if not np.isfinite(points).all():
        raise DataError("a coordinate of its points is not a finite number")
    return points


def outline(values: Any) -> np.ndarray:
    """`to_points` of a polygon.

    Raises:
        DataError: there are fewer than 3; see also `to_points`.
    """
    points = to_points(values)
    if len(points) < 3:
        raise DataError(f"its polygon has {len(points)} points; expected 3 or more")
    return points


def ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> Polygon:
    """An ellipse, turned clockwise in the image, as a polygon that is off by a tenth of a pixel."""
    radius = max(abs(rx), abs(ry), 1e-6)
    steps = max(12, math.ceil(math.pi / math.acos(max(1 - _ROUNDNESS / radius, 0.0))))
    angles = np.arange(min(steps, 720)) * (2 * math.pi / min(steps, 720))
    points = np.stack([rx * np.cos(angles), ry * np.sin(angles)], axis=1)
    return Polygon(turned(points, degrees) + np.array([cx, cy]))


def rectangle(corners: Sequence[float], degrees: float = 0.0, around: Any = None) -> Polygon:
    """A rectangle x0, y0, x1, y1, turned clockwise around a point, by default its centre."""
    x0, y0, x1, y1 = corners
    points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)
    centre = points.mean(axis=0) if around is None else np.asarray(around, dtype=np.float64)
    return Polygon(turned(points - centre, degrees) + centre)


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Points turned around the origin; clockwise to the eye, since y points down."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def box_of(shapes: Sequence[Shape]) -> list[float]:
    """The box around all shapes of an object: [x, y, width, height] in pixels."""
    corners = np.array([_corners(shape) for shape in shapes])
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def segmentation_of(
    shapes: Sequence[Shape], size: tuple[int, int]
) -> list[list[float]] | RLE | None:
    """The mask of an object as COCO's format has it; None where only boxes are known.

    Args:
        shapes: of the object, which is all of them together.
        size: (height, width) of the image.

    Raises:
        DataError: a polygon can't be drawn.
    """
    shapes = [shape for shape in shapes if not isinstance(shape, Box)]
    if not shapes:
        return None
    polygons = [shape for shape in shapes if isinstance(shape, Polygon) and not shape.holes]
    if len(polygons) == len(shapes):
        return [polygon.points.ravel().tolist() for polygon in polygons]
    windows = [window for window in (_pixels(shape, size) for shape in shapes) if window]
    if not windows:
        raise DataError(f"it lies outside of its image of {size[0]} x {size[1]} (height x width)")
    top, left = min(w[1] for w in windows), min(w[2] for w in windows)
    bottom = max(w[1] + w[0].shape[0] for w in windows)
    right = max(w[2] + w[0].shape[1] for w in windows)
    joined = np.zeros((bottom - top, right - left), dtype=bool)
    for mask, y, x in windows:
        joined[y - top : y - top + mask.shape[0], x - left : x - left + mask.shape[1]] |= mask
    import torch

    return encode_window(torch.from_numpy(joined), top, left, size)


def _pixels(shape: Shape, size: tuple[int, int]) -> tuple[np.ndarray, int, int] | None:
    """What of a shape lies in the image: pixels, first row, first column; None for nothing."""
    x0, y0, x1, y1 = _corners(shape)
    top, left = (int(max(0, min(math.floor(v), n))) for v, n in ((y0, size[0]), (x0, size[1])))
    bottom, right = (int(max(0, min(math.ceil(v), n))) for v, n in ((y1, size[0]), (x1, size[1])))
    if bottom <= top or right <= left:
        return None
    if isinstance(shape, Bitmap):
        rows = slice(top - shape.top, bottom - shape.top)
        return shape.mask[rows, left - shape.left : right - shape.left], top, left
    assert isinstance(shape, Polygon)
    outlines = [[(p - [left, top]).ravel()] for p in (shape.points, *shape.holes)]
    drawn = rasterize_polygons(outlines, bottom - top, right - left).numpy()
    return drawn[0] & ~drawn[1:].any(axis=0), top, left


def _corners(shape: Shape) -> tuple[float, float, float, float]:
    if isinstance(shape, Box):
        x0, y0, x1, y1 = shape.corners
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
    if isinstance(shape, Polygon):
        (x0, y0), (x1, y1) = shape.points.min(axis=0), shape.points.max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)
    rows, columns = shape.mask.any(axis=1).nonzero()[0], shape.mask.any(axis=0).nonzero()[0]
    if not len(rows):
        raise DataError("its bitmap has no pixel")
    y0, x0 = shape.top + int(rows[0]), shape.left + int(columns[0])
    return x0, y0, shape.left + int(columns[-1]) + 1, shape.top + int(rows[-1]) + 1


def decode_bitmap(text: Any, limit: tuple[int, int], *, is_deflated: bool = False) -> np.ndarray:
    """The pixels of a PNG that is written as text.

    What is larger than its image may be is refused before it is unpacked.

    Args:
        text: base64 of a PNG; with `is_deflated` of a PNG that zlib has packed.
        limit: (height, width) of the image that it is drawn on.

    Returns:
        (h, w) bool: where it is not 0, or where it has transparency, not transparent.

    Raises:
        DataError: it is something else, or larger.
    """
    height, width = limit
    bound = 4 * (height + 1) * (width + 1) + _SPARE_BYTES
    if not isinstance(text, str):
        raise DataError(f"its bitmap is {type(text).__name__}; expected base64 text")
    if len(text) > 2 * bound:
        raise DataError(
            f"its bitmap is a text of {len(text)} characters, far more than an image of {height} x "
            f"{width} (height x width) can take"
        )
    try:
        content = base64.b64decode(text.partition("base64,")[2] or text, validate=False)
        if is_deflated:
            unpacker = zlib.decompressobj()
            content = unpacker.decompress(content, bound)
            if unpacker.unconsumed_tail:
                raise DataError(f"its bitmap unpacks to more than {bound} bytes")
        with Image.open(io.BytesIO(content)) as image:
            if image.height > height + 1 or image.width > width + 1:
                raise DataError(
                    f"its bitmap is {image.height} x {image.width}, the image {height} x {width} "
                    "(height x width)"
                )
            pixels: np.ndarray = np.asarray(image)
            has_alpha = image.mode in ("RGBA", "LA")
    except DataError:
        raise
    except (binascii.Error, zlib.error, UnidentifiedImageError, OSError, ValueError) as e:
        raise DataError(f"its bitmap is no PNG in base64: {e}") from None
    if pixels.ndim == 3:
        pixels = pixels[..., -1] if has_alpha else pixels.max(axis=-1)
    return np.asarray(pixels != 0)
