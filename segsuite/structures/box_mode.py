"""`BoxMode`: the ways to write a box, with Detectron2's names and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, TypeVar

_Box = TypeVar("_Box")


class BoxMode(IntEnum):
    """How a box is written: ``bbox_mode`` of the annotations of a record.

    Where (x0, y0) is the corner of the smallest coordinates, absolute boxes are in pixels and
    relative ones in shares of the width and height of the image. A record's box without
    ``bbox_mode`` is XYWH_ABS, as in COCO's files.
    """

    XYXY_ABS = 0
    """(x0, y0, x1, y1) in pixels"""
    XYWH_ABS = 1
    """(x0, y0, width, height) in pixels"""
    XYXY_REL = 2
    """(x0, y0, x1, y1) in [0, 1]"""
    XYWH_REL = 3
    """(x0, y0, width, height) in [0, 1]"""
    XYWHA_ABS = 4
    """a rotated box, (centre x, centre y, width, height, angle): can't be converted"""

    @staticmethod
    def convert(
        box: _Box, from_mode: int, to_mode: int, image_size: tuple[int, int] | None = None
    ) -> _Box:
        """Write boxes in another way.

        Args:
            box: a list or tuple of four numbers, or an array or a tensor (..., 4).
            from_mode, to_mode: `BoxMode`, or their numbers.
            image_size: (height, width) in pixels, for relative boxes.

        Returns:
            The same kind of thing, a new one unless the modes are the same. Numbers of a list keep
            their precision. From or to relative boxes the numbers are floats.

        Raises:
            ValueError: no such mode, rotated boxes, not four numbers, or no `image_size` for
                relative ones.
        """
        from_mode, to_mode = BoxMode(from_mode), BoxMode(to_mode)
        if from_mode == to_mode:
            return box
        _check(box, from_mode, to_mode, image_size)
        if isinstance(box, (list, tuple)):
            return type(box)(_convert(box, from_mode, to_mode, image_size))
        # NumPy's arrays and PyTorch's tensors have all that is used here, but for a copy.
        any_array: Any = box
        if from_mode.is_relative or to_mode.is_relative:
            result = any_array * 1.0
        else:
            result = any_array.clone() if hasattr(box, "clone") else any_array.copy()
        columns = [result[..., i] for i in range(4)]
        for i, column in enumerate(_convert(columns, from_mode, to_mode, image_size)):
            result[..., i] = column
        return result

    @property
    def is_relative(self) -> bool:
        """Whether the numbers are shares of the image's width and height."""
        return self in (BoxMode.XYXY_REL, BoxMode.XYWH_REL)


def _check(
    box: Any, from_mode: BoxMode, to_mode: BoxMode, image_size: tuple[int, int] | None
) -> None:
    if BoxMode.XYWHA_ABS in (from_mode, to_mode):
        raise ValueError(
            f"boxes can't be converted from {from_mode.name} to {to_mode.name}: there are no "
            "rotated boxes here; take the upright box around each"
        )
    length = len(box) if isinstance(box, (list, tuple)) else box.shape[-1]
    if length != 4:
        raise ValueError(f"a {from_mode.name} box has {length} numbers; expected 4")
    if image_size is None and (from_mode.is_relative or to_mode.is_relative):
        raise ValueError(
            f"boxes can't be converted from {from_mode.name} to {to_mode.name} without the "
            "(height, width) of the image; give image_size"
        )


def _convert(
    columns: Sequence[Any],
    from_mode: BoxMode,
    to_mode: BoxMode,
    image_size: tuple[int, int] | None,
) -> list[Any]:
    """Convert x, y and two more, which are numbers, arrays or tensors."""
    x, y, a, b = columns
    if from_mode in (BoxMode.XYWH_ABS, BoxMode.XYWH_REL):
        a, b = x + a, y + b
    if image_size is not None and from_mode.is_relative != to_mode.is_relative:
        height, width = image_size
        if from_mode.is_relative:
            x, y, a, b = x * width, y * height, a * width, b * height
        else:
            x, y, a, b = x / width, y / height, a / width, b / height
    if to_mode in (BoxMode.XYWH_ABS, BoxMode.XYWH_REL):
        a, b = a - x, b - y
    return [x, y, a, b]
