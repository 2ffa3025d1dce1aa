"""Colours for data sets that come without; they stay apart for the colour-blind too."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np

Color = tuple[int, int, int]

# Okabe and Ito, "Color Universal Design" (2008): seven hues that are told apart with any of the
# common kinds of colour-blindness.
_OKABE_ITO = (
    *((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167)),
    *((213, 94, 0), (86, 180, 233), (240, 228, 66)),
)
# What is seen without red- and without green-sensitive cones, in linear RGB: Machado, Oliveira and
# Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009).
_VISIONS = np.array(
    [
        np.eye(3),
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    ]
)
# Linear RGB to OKLab, in which distances are about as large as they look (Ottosson, 2020).
_RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def perceived(colors: np.ndarray) -> np.ndarray:
    """Colours as they look: (N, 3) RGB 0-255 to (N, 3, 3) OKLab coordinates.

    The second axis is normal vision, protanopia (no red cones) and deuteranopia (no green cones).
    """
    srgb = np.asarray(colors, dtype=np.float64) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.einsum("vij,nj->nvi", _VISIONS, linear).clip(0, 1)
    return np.cbrt(seen @ _RGB_TO_LMS.T) @ _LMS_TO_LAB.T


def rgb(values: Iterable[float]) -> Color:
    """Three numbers, of an array or of JSON, as a colour."""
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def voc_colors(count: int) -> list[Color]:
    """The first `count`, at most 256, colours of Pascal VOC's palette, black first.

    The bits of a number are dealt out in turn to red, green and blue, the highest bit first
    (VOClabelcolormap of the VOC development kit). All differ, but neighbours may look alike.
    """
    colors = []
    for number in range(count):
        color = [0, 0, 0]
        for bit in range(8):
            color[bit % 3] |= (number >> bit & 1) << (7 - bit // 3)
        colors.append(rgb(color))
    return colors


def default_colors(count: int) -> list[Color]:
    """The first `count` colours of an endless palette, RGB 0-255.

    Seven fixed hues, then at each step the colour that lies furthest from all before it for the
    vision that tells it apart worst. A longer palette begins with the shorter one.
    """
    return list(_palette(-(-count // 64) * 64)[:count])  # in steps, to draw up few


@functools.cache
def _palette(count: int) -> tuple[Color, ...]:
    levels = np.linspace(0, 255, 12).round().astype(int)
    candidates = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    seen = perceived(candidates)
    # Neither black nor white: they vanish in shadows and skies.
    lightness = seen[:, 0, 0]
    usable = (lightness > 0.35) & (lightness < 0.93)
    candidates, seen = candidates[usable], seen[usable]

    colors = list(_OKABE_ITO)
    nearest = np.full(len(candidates), np.inf)
    for i in range(count):
        if i == len(colors):
            colors.append(rgb(candidates[nearest.argmax()]))
        distance = np.linalg.norm(seen - perceived(np.array([colors[i]])), axis=-1).min(axis=-1)
        nearest = np.minimum(nearest, distance)
    return tuple(colors)
