"""Colours for data sets that come without."""

from __future__ import annotations


def default_colors(num_classes: int) -> list[tuple[int, int, int]]:
    """The PASCAL VOC colour map: the bits of the class id, dealt to red, green and blue in turn."""
    colors = []
    for class_id in range(num_classes):
        rgb = [0, 0, 0]
        for bit in range(24):
            rgb[bit % 3] |= (class_id >> bit & 1) << 7 - bit // 3
        colors.append(tuple(rgb))
    return colors
