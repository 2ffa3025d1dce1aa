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


def reach(height: _Size, width: _Size) -> _Size:
    """How far from the image's corner, in pixels, polygons and boxes are taken as they are.

    What goes beyond is cut off, see `clip_polygon`.

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
        if not np.isfinite(_as_array(polygon, i)).all():
            raise DataError(f"polygon {i} has a value that is not finite; expected numbers")


def drawable(
    polygons: Sequence[Sequence[float] | np.ndarray], height: int, width: int
) -> list[Any]:
    """The polygons, checked; those that go beyond `reach` are cut off there.

    Args:
        height, width: of the image, in pixels.

    Raises:
        DataError: see `check_polygons`; the image is too large for run lengths.
    """
    check_mask_size(height, width)
    check_polygons(polygons)
    limit = reach(height, width)
    arrays = [np.asarray(polygon, dtype=np.float64) for polygon in polygons]
    return [
        a if -limit <= a.min() and a.max() <= limit else clip_polygon(a, height, width)
        for a in arrays
    ]


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


def clip_polygon(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """The part of a polygon around an image: from one image's size before it to one behind.

    What is drawn in the image stays as it is, but for the rounding of edges from far away.
    Sutherland and Hodgman, "Reentrant Polygon Clipping", CACM 17, 1974.

    Args:
        points: flat x0, y0, x1, y1, ..., finite.

    Returns:
        Flat float64; empty where nothing is left.
    """
    vertices = np.clip(points.reshape(-1, 2), -_LARGEST, _LARGEST)
    margin = max(height, width)
    for axis, length in ((0, width), (1, height)):
        for sign, bound in ((1, -margin), (-1, length + margin)):
            vertices = _cut(vertices, axis, sign, float(bound))
            if len(vertices) < 3:
                return np.empty(0)
    return vertices.ravel()


def _cut(vertices: np.ndarray, axis: int, sign: int, bound: float) -> np.ndarray:
    """What of a polygon (N, 2) lies where ``sign * (coordinate - bound) >= 0``."""
    distance = sign * (vertices[:, axis] - bound)
    if (distance >= 0).all():
        return vertices
    kept: list[np.ndarray] = []
    before, from_before = vertices[-1], distance[-1]
    for vertex, from_vertex in zip(vertices, distance, strict=True):
        if (from_vertex >= 0) != (from_before >= 0):
            crossing = before + (vertex - before) * (from_before / (from_before - from_vertex))
            crossing[axis] = bound
            kept.append(crossing)
        if from_vertex >= 0:
            kept.append(vertex)
        before, from_before = vertex, from_vertex
    return np.array(kept).reshape(-1, 2)


def _as_array(polygon: Sequence[float] | np.ndarray, number: int) -> np.ndarray:
    try:
        array = np.asarray(polygon, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        array = None
    if array is None or array.ndim != 1:
        raise DataError(f"polygon {number} is not x0, y0, x1, y1, ...: a flat list of numbers")
    return array
