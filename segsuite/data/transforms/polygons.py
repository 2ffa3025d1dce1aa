"""Polygon clipping."""

from __future__ import annotations

import numpy as np


def clip_polygon(polygon: np.ndarray, height: float, width: float) -> np.ndarray:
    """The part of a polygon inside [0, width] x [0, height].

    Sutherland and Hodgman, "Reentrant polygon clipping", 1974: parts that the clipping separates
    stay joined along the border, which changes neither area nor mask.

    Args:
        polygon: (N, 2) float corners (x, y).

    Returns:
        (M, 2) float corners; M is 0 when nothing of the polygon's area is inside.
    """
    points = np.asarray(polygon, dtype=float)
    for axis, bound in ((0, width), (1, height)):
        points = _clip(points, points[:, axis], 0.0, axis)
        points = _clip(points, bound - points[:, axis], float(bound), axis)
    x, y = points[:, 0], points[:, 1]
    area = np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))
    return points if abs(area) > 0 else points[:0]


def _clip(points: np.ndarray, inside: np.ndarray, bound: float, axis: int) -> np.ndarray:
    """Keep the side where `inside`, the corners' signed distances from the line, is positive."""
    if (inside >= 0).all():
        return points
    kept = []
    for i, (point, distance) in enumerate(zip(points, inside, strict=True)):
        before, distance_before = points[i - 1], inside[i - 1]
        if (distance < 0) != (distance_before < 0):
            crossing = before + (point - before) * distance_before / (distance_before - distance)
            crossing[axis] = bound
            kept.append(crossing)
        if distance >= 0:
            kept.append(point)
    return np.array(kept).reshape(-1, 2)
