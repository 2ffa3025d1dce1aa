"""Polygons ``[x0, y0, x1, y1, ...]`` that are safe to draw.

The C code of pycocotools walks the edges of a polygon in steps of a fifth of a pixel and counts
them in 32 bits: a coordinate of 2e8 takes gigabytes, and NaN, infinity or 3e8 end the process. All
that draws polygons asks `drawable` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from segsuite.errors import DataError

_Size = TypeVar("_Size", int, np.ndarray)

# Coordinates that no image comes near; larger ones would overflow where edges are cut.
_LARGEST = 1e12
# Of edges together, in pixels: what is drawn of them takes 16 MB. A small box in a large object has
# them in units of the pixels of its mask.
_DRAWN = 2e5


def reach(height: _Size, width: _Size) -> _Size:
    """How far from the image's corner, in pixels, polygons and boxes are taken as they are.

    What goes beyond is cut off, see `cut_off`.

    Args:
        height, width: of an image, or arrays of those of many.
    """
    return 4 * np.maximum(height, width) + 1000


def check_polygons(polygons: Sequence[Sequence[float] | np.ndarray]) -> None:
    """Check polygons ``[x0, y0, x1, y1, ...]``.

    Raises:
        DataError: one has fewer than 3 points, an odd number of values, or values that are no
            finite numbers.
    """
    for i, polygon in enumerate(polygons):
        if len(polygon) < 6 or len(polygon) % 2:
            raise DataError(
                f"polygon {i} has {len(polygon)} values; expected x0, y0, x1, y1, ... "
                "of 3 points or more"
            )
    arrays = [_as_array(polygon, i) for i, polygon in enumerate(polygons)]
    if not arrays or np.isfinite(np.concatenate(arrays)).all():
        return
    number = next(i for i, array in enumerate(arrays) if not np.isfinite(array).all())
    raise DataError(f"polygon {number} has a value that is not finite; expected numbers")


def drawable(
    polygons: Sequence[Sequence[float] | np.ndarray], height: int, width: int
) -> list[Any]:
    """The polygons, checked; those that go far beyond the image are cut off, see `cut_off`.

    Args:
        height, width: of the image, in pixels.

    Raises:
        DataError: see `check_polygons`; the image is too large for run lengths.
    """
    check_mask_size(height, width)
    check_polygons(polygons)
    limit = reach(height, width)
    arrays = [np.asarray(polygon, dtype=np.float64) for polygon in polygons]
    if not arrays or np.abs(np.concatenate(arrays)).max() <= limit:
        return arrays
    return [
        a if np.abs(a).max() <= limit or _length(a) <= _DRAWN else cut_off(a, height, width)
        for a in arrays
    ]


def _length(points: np.ndarray) -> float:
    """Of the edges of a polygon, in pixels, by the larger of both directions."""
    vertices = points.reshape(-1, 2)
    return float(np.abs(vertices - np.roll(vertices, 1, axis=0)).max(axis=1).sum())


def has_mask_size(height: int, width: int) -> bool:
    """Whether run lengths, of 32 bits each, can be those of a mask of this size."""
    return height > 0 and width > 0 and height * width < 1 << 32


def check_mask_size(height: int, width: int) -> None:
    """Check that run lengths, of 32 bits each, can be those of a mask of this size.

    Raises:
        DataError: it has no pixel, or too many.
    """
    if not has_mask_size(height, width):
        raise DataError(
            f"a mask of {height} x {width} pixels (height x width) has no run lengths; expected "
            "from 1 to 2^32 - 1 pixels"
        )


def cut_off(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """The part of a polygon around an image: from one image's size before it to one behind.

    What is drawn in the image stays as it is, but for the rounding of edges from far away.

    Args:
        points: flat x0, y0, x1, y1, ..., finite.

    Returns:
        Flat float64; empty where nothing is left.
    """
    vertices = np.clip(points.reshape(-1, 2), -_LARGEST, _LARGEST)
    margin = max(height, width)
    vertices = clip_to_box(vertices, (-margin, -margin), (width + margin, height + margin))
    return vertices.ravel() if len(vertices) > 2 else np.empty(0)


def clip_to_box(
    vertices: np.ndarray, low: tuple[float, float], high: tuple[float, float]
) -> np.ndarray:
    """The part of a polygon inside a box.

    Sutherland and Hodgman, "Reentrant Polygon Clipping", CACM 17, 1974: parts that the clipping
    separates stay joined along the border, which changes neither area nor mask.

    Args:
        vertices: (N, 2) float corners (x, y).
        low, high: (x, y) of the box's corners.

    Returns:
        (M, 2) float corners; M may be 0.
    """
    for axis in (0, 1):
        vertices = _cut(vertices, vertices[:, axis] - low[axis], float(low[axis]), axis)
        vertices = _cut(vertices, high[axis] - vertices[:, axis], float(high[axis]), axis)
    return vertices


def _cut(vertices: np.ndarray, inside: np.ndarray, bound: float, axis: int) -> np.ndarray:
    """Keep the side where `inside`, the corners' signed distances from the line, is positive."""
    if (inside >= 0).all():
        return vertices
    kept = []
    for i, (vertex, distance) in enumerate(zip(vertices, inside, strict=True)):
        before, distance_before = vertices[i - 1], inside[i - 1]
        if (distance < 0) != (distance_before < 0):
            crossing = before + (vertex - before) * distance_before / (distance_before - distance)
            crossing[axis] = bound
            kept.append(crossing)
        if distance >= 0:
            kept.append(vertex)
    return np.array(kept).reshape(-1, 2)


def _as_array(polygon: Sequence[float] | np.ndarray, number: int) -> np.ndarray:
    try:
        array = np.asarray(polygon, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        array = None
    if array is None or array.ndim != 1:
        raise DataError(f"polygon {number} is not x0, y0, x1, y1, ...: a flat list of numbers")
    return array
