"""Outlines of masks along the edges of their pixels, so that drawing them gives the mask again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

# East, south, west, north: the steps of (x, y). A right turn is the next one.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
# Pairs of points whose distances are computed at a time.
_PAIRS = 1 << 18


@dataclass
class Outline:
    """A region whose pixels touch by their edges.

    Attributes:
        points: (N, 2) int64 x, y of the corners of its outer border, clockwise to the eye.
        holes: the same of each hole, counterclockwise.
    """

    points: np.ndarray
    holes: list[np.ndarray] = field(default_factory=list)


def trace(mask: np.ndarray) -> list[Outline]:
    """The outlines of a mask's regions, from top to bottom.

    Args:
        mask: (H, W) bool.

    Returns:
        Corners are those of pixels: the first pixel's are 0 and 1.
    """
    if not mask.any():
        return []
    _, regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    edges = _edges(mask)
    outer: dict[int, Outline] = {}
    holes: list[tuple[int, np.ndarray]] = []
    while edges:
        (x, y, direction) = next(iter(edges))
        points = _walk(edges, x, y, direction)
        region = int(regions[_pixel_beside(x, y, direction)])
        if _signed_area(points) > 0:
            outer[region] = Outline(points)
        else:
            holes.append((region, points))
    for region, points in holes:
        outer[region].holes.append(points)
    return list(outer.values())


def joined(outlines: Sequence[Outline]) -> np.ndarray:
    """One polygon for all regions and holes, for formats that have no other way to write them.

    It runs from border to border and back along cuts without width. Where edges that are walked
    twice cancel, as in COCO's tools, what is drawn is the same; programs that paint the borders of
    polygons show the cuts as lines.

    Returns:
        (N, 2) int64 x, y.
    """
    loops = [loop for outline in outlines for loop in (outline.points, *outline.holes)]
    polygon = loops[0]
    for loop in loops[1:]:
        i, j = _nearest(polygon, loop)
        polygon = np.concatenate([polygon[: i + 1], loop[j:], loop[: j + 1], polygon[i:]])
    return polygon


def _edges(mask: np.ndarray) -> dict[tuple[int, int, int], None]:
    """The borders between the mask and what is outside: x, y and direction of each pixel's edge,
    with the mask to the right, in the order of rows."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    found = []
    for direction, neighbour, corner in (
        (0, padded[:-2, 1:-1], (0, 0)),  # above: to the east along the upper edge
        (1, padded[1:-1, 2:], (1, 0)),
        (2, padded[2:, 1:-1], (1, 1)),
        (3, padded[1:-1, :-2], (0, 1)),
    ):
        rows, columns = np.nonzero(inside & ~neighbour)
        start = np.stack([columns + corner[0], rows + corner[1]], axis=1)
        found.append(np.column_stack([start, np.full(len(start), direction)]))
    ordered = np.concatenate(found)
    ordered = ordered[np.lexsort((ordered[:, 2], ordered[:, 0], ordered[:, 1]))]
    return dict.fromkeys(map(tuple, ordered.tolist()))


def _walk(edges: dict[tuple[int, int, int], None], x: int, y: int, direction: int) -> np.ndarray:
    """Follow a border round and take it out of `edges`; the corners of it."""
    first = (x, y, direction)
    corners = []
    while True:
        del edges[x, y, direction]
        x, y = x + _STEPS[direction][0], y + _STEPS[direction][1]
        # The sharpest right turn first: regions that touch in a corner stay apart.
        for turn in (1, 0, 3):
            new = (direction + turn) % 4
            if (x, y, new) in edges or (x, y, new) == first:
                break
        if new != direction:
            corners.append((x, y))
        direction = new
        if (x, y, direction) == first:
            return np.array(corners, dtype=np.int64)


def _pixel_beside(x: int, y: int, direction: int) -> tuple[int, int]:
    """Row and column of the pixel to the right of an edge."""
    return y - (direction in (2, 3)), x - (direction in (1, 2))


def _signed_area(points: np.ndarray) -> int:
    x, y = points[:, 0], points[:, 1]
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _nearest(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    """The numbers of the points of two borders that are nearest to each other."""
    best, found = None, (0, 0)
    step = max(_PAIRS // len(b), 1)
    for start in range(0, len(a), step):
        distance = ((a[start : start + step, None] - b[None]) ** 2).sum(axis=-1)
        i, j = np.unravel_index(distance.argmin(), distance.shape)
        if best is None or distance[i, j] < best:
            best, found = distance[i, j], (start + int(i), int(j))
    return found
