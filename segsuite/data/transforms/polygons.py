"""Polygon clipping."""

from __future__ import annotations

import numpy as np

from segsuite.structures.polygons import clip_to_box


def clip_polygon(polygon: np.ndarray, height: float, width: float) -> np.ndarray:
    """The part of a polygon inside [0, width] x [0, height].

    Args:
        polygon: (N, 2) float corners (x, y).

    Returns:
        (M, 2) float corners; M is 0 when nothing of the polygon's area is inside.
    """
    points = clip_to_box(np.asarray(polygon, dtype=float), (0, 0), (width, height))
    x, y = points[:, 0], points[:, 1]
    area = np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))
    return points if abs(area) > 0 else points[:0]
