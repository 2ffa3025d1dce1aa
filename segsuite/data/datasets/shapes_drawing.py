"""Draw one scene of the shapes data set, in integer arithmetic throughout.

Shapes are drawn on a grid of `_SUB` x `_SUB` points a pixel: the share of points inside gives
smooth edges, and a pixel belongs to a shape that covers half of it or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np

CLASSES = ("background", "circle", "square", "triangle", "star", "cross")
SIZE = 128
_SUB = 4
_ONE = 1 << 12  # 1.0 in the fixed-point numbers below

# Corners of unit shapes, (x, y) in fixed point, none further than 1 from the centre.
_CORNERS = {
    "square": ((-2896, -2896), (2896, -2896), (2896, 2896), (-2896, 2896)),
    "triangle": ((0, -4096), (3547, 2048), (-3547, 2048)),
    "star": (
        *((0, -4096), (963, -1325), (3896, -1266), (1558, 506), (2408, 3314)),
        *((0, 1638), (-2408, 3314), (-1558, 506), (-3896, -1266), (-963, -1325)),
    ),
    "cross": (
        *((-1300, -3884), (1300, -3884), (1300, -1300), (3884, -1300)),
        *((3884, 1300), (1300, 1300), (1300, 3884), (-1300, 3884)),
        *((-1300, 1300), (-3884, 1300), (-3884, -1300), (-1300, -1300)),
    ),
}
_FILLS = np.array(
    [
        *((214, 73, 70), (240, 138, 75), (244, 196, 88), (122, 178, 97), (58, 156, 140)),
        *((72, 142, 204), (92, 98, 190), (158, 98, 182), (222, 120, 158), (236, 226, 206)),
    ],
    dtype=np.int32,
)
_GROUNDS = np.array(
    [
        *((66, 84, 92), (92, 112, 98), (122, 104, 88), (150, 146, 132), (84, 78, 104)),
        *((182, 170, 148), (108, 132, 148), (60, 72, 66)),
    ],
    dtype=np.int32,
)


@dataclass
class Scene:
    """One image and its labels."""

    image: np.ndarray  # (SIZE, SIZE, 3) uint8 RGB
    labels: np.ndarray  # (SIZE, SIZE) uint8 class ids
    class_ids: list[int]  # one for each instance, back to front
    masks: list[np.ndarray]  # (SIZE, SIZE) uint8 0/1, the visible part of each instance


class _Dice:
    """Integers from a generator's raw words, which no numpy version may change."""

    def __init__(self, key: tuple[int, int]) -> None:
        self._words = np.random.Philox(key=np.array(key, dtype=np.uint64))

    @overload
    def between(self, low: int, high: int) -> int: ...

    @overload
    def between(self, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray: ...

    def between(
        self, low: int, high: int, shape: tuple[int, ...] | None = None
    ) -> int | np.ndarray:
        """An int, or an array of them, from `low` to `high` inclusive."""
        count = 1 if shape is None else int(np.prod(shape))
        words = self._words.random_raw(count) >> np.uint64(32)
        values = (words % np.uint64(high - low + 1)).astype(np.int32) + low
        return int(values[0]) if shape is None else values.reshape(shape)


def draw_scene(key: tuple[int, int]) -> Scene:
    """Draw the scene that the two words of `key` stand for."""
    dice = _Dice(key)
    image = _draw_ground(dice)
    owner = np.full((SIZE, SIZE), -1, dtype=np.int32)
    class_ids: list[int] = []
    areas: list[int] = []
    for _ in range(dice.between(5, 9)):
        class_id = dice.between(1, len(CLASSES) - 1)
        window, coverage = _draw_coverage(dice, CLASSES[class_id])
        # Two of the ten colours are the class's own, so that a minute of training tells it apart.
        color = _FILLS[2 * (class_id - 1) + dice.between(0, 1)]
        fill = _draw_texture(dice, color, coverage.shape)
        inside = coverage * 2 >= _SUB**2
        if _hides_too_much(inside, owner, window, areas):
            continue
        # A soft shadow, down and to the right, sets the shape off from what lies beneath.
        shadow = _blur(np.pad(coverage, ((3, 0), (2, 0)))[:-3, :-2])[:, :, None]
        share = coverage[:, :, None]
        ground = (image[window] * (64 - shadow)) >> 6
        image[window] = (ground * (_SUB**2 - share) + fill * share) // _SUB**2
        owner[window][inside] = len(class_ids)
        class_ids.append(class_id)
        areas.append(int(inside.sum()))
    image = np.clip(image + dice.between(-7, 7, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    return Scene(
        image=image,
        labels=np.array([0, *class_ids], dtype=np.uint8)[owner + 1],
        class_ids=class_ids,
        masks=[(owner == i).astype(np.uint8) for i in range(len(class_ids))],
    )


def _hides_too_much(
    inside: np.ndarray, owner: np.ndarray, window: tuple[slice, slice], areas: list[int]
) -> bool:
    """Whether an earlier shape would keep less than 5/8 of itself, too little to tell its class."""
    visible = np.bincount(owner.ravel() + 1, minlength=len(areas) + 1)
    visible -= np.bincount(owner[window][inside] + 1, minlength=len(areas) + 1)
    return any(seen * 8 < area * 5 for seen, area in zip(visible[1:], areas, strict=True))


def _draw_coverage(dice: _Dice, kind: str) -> tuple[tuple[slice, slice], np.ndarray]:
    """Place a shape.

    Returns:
        The window of the image that it and its shadow lie in, and how many grid points of each
        pixel there are inside: (h, w) int32, 0 to _SUB**2.
    """
    radius = dice.between(13, 29)
    cx, cy = dice.between(6, SIZE - 6), dice.between(6, SIZE - 6)
    cos, sin = _rotation(dice.between(-64, 64))
    reach = radius + 4
    left, right = max(cx - reach, 0), min(cx + reach, SIZE)
    top, bottom = max(cy - reach, 0), min(cy + reach, SIZE)
    x = np.arange(left * _SUB, right * _SUB, dtype=np.int32) - cx * _SUB
    y = np.arange(top * _SUB, bottom * _SUB, dtype=np.int32)[:, None] - cy * _SUB
    radius *= _SUB
    if kind == "circle":
        inside = x * x + y * y <= radius * radius * 7 // 8
    else:
        corners = [
            ((u * cos - v * sin) * radius // _ONE**2, (u * sin + v * cos) * radius // _ONE**2)
            for u, v in _CORNERS[kind]
        ]
        inside = _inside_polygon(x, y, corners)
    blocks = inside.reshape(bottom - top, _SUB, right - left, _SUB)
    window = slice(top, bottom), slice(left, right)
    return window, blocks.sum(axis=(1, 3), dtype=np.int32)


def _rotation(k: int, n: int = 64) -> tuple[int, int]:
    """Cosine and sine, in fixed point, of the angle whose half has the tangent k/n."""
    norm = n * n + k * k
    return (n * n - k * k) * _ONE // norm, 2 * n * k * _ONE // norm


def _inside_polygon(x: np.ndarray, y: np.ndarray, corners: list[tuple[int, int]]) -> np.ndarray:
    """Even-odd rule: a point is inside when a ray to the right crosses an odd number of edges.

    Args:
        x, y: (W,) and (H, 1) integer coordinates.

    Returns:
        (H, W) bool.
    """
    inside = np.zeros((len(y), len(x)), dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y1 < y0:
            x0, y0, x1, y1 = x1, y1, x0, y0
        spanned = (y0 <= y) & (y < y1)
        # x < x0 + (y - y0) * (x1 - x0) / (y1 - y0), multiplied out
        inside ^= spanned & ((x - x0) * (y1 - y0) < (y - y0) * (x1 - x0))
    return inside


def _draw_ground(dice: _Dice) -> np.ndarray:
    """(SIZE, SIZE, 3) int32: patches of two colours that flow into each other, and a texture."""
    first, second = (_GROUNDS[dice.between(0, len(_GROUNDS) - 1)] for _ in range(2))
    blend = _smooth_noise(dice, 32, (SIZE, SIZE))[:, :, None]
    ground = (first * (256 - blend) + second * blend) >> 8
    return _draw_texture(dice, ground, (SIZE, SIZE))


def _draw_texture(dice: _Dice, color: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) int32: `color` under stripes, checks, dots or cloudy noise."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    kind, period, strength = dice.between(0, 4), dice.between(4, 9), dice.between(5, 13)
    if kind == 0:
        dx, dy = dice.between(-2, 2), dice.between(1, 2)
        shade = np.where((x * dx + y * dy) % (2 * period) < period, strength, -strength)
    elif kind == 1:
        shade = np.where((x // period + y // period) % 2 == 0, strength, -strength)
    elif kind == 2:
        u, v = x % (2 * period) - period, y % (2 * period) - period
        shade = np.where(u * u + v * v <= period * period // 3, strength, -strength)
    else:
        shade = ((_smooth_noise(dice, 8, shape) - 128) * 36) >> 7
    return np.clip(color + shade[:, :, None].astype(np.int32), 0, 255)


def _smooth_noise(dice: _Dice, cell: int, shape: tuple[int, int]) -> np.ndarray:
    """(h, w) int32, 0 to 255: random values on a lattice, bilinear in between."""
    lattice = dice.between(0, 255, (shape[0] // cell + 2, shape[1] // cell + 2))
    (row, down), (column, right) = (np.divmod(np.arange(n, dtype=np.int32), cell) for n in shape)
    lines = lattice[row] * (cell - down)[:, None] + lattice[row + 1] * down[:, None]
    return (lines[:, column] * (cell - right) + lines[:, column + 1] * right) // cell**2


def _blur(coverage: np.ndarray) -> np.ndarray:
    """(h, w) int32: the mean over 3 x 3 pixels."""
    h, w = coverage.shape
    padded = np.pad(coverage, 1)
    windows = [padded[i : i + h, j : j + w] for i in range(3) for j in range(3)]
    return np.sum(windows, axis=0, dtype=padded.dtype) // 9
