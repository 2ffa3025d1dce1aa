"""`ROIMasks` as tensors of fixed shapes: masks of boxes brought to the pixels of the image."""

from __future__ import annotations

import torch
from torch import Tensor

from segsuite.ops.bilinear import hat_weights, positions_in_box


def pasting_weights(boxes: Tensor, size: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """What each row and each column of a box's mask weighs at the rows and columns of the image.

    Args:
        boxes: (..., 4) x1, y1, x2, y2 in pixels of the image, wider and higher than 0.
        size: M, of the masks.

    Returns:
        (..., height, M) and (..., width, M).
    """
    x1, y1, x2, y2 = boxes[..., None].unbind(-2)
    rows, columns = (torch.arange(n, device=boxes.device) for n in (height, width))
    return (
        hat_weights(positions_in_box(rows, y1, y2, size), size),
        hat_weights(positions_in_box(columns, x1, x2, size), size),
    )


def pasted(probabilities: Tensor, rows: Tensor, columns: Tensor, threshold: float = 0.5) -> Tensor:
    """Masks (..., M, M) with their `pasting_weights` -> (..., height, width) bool: where the
    probability reaches the threshold."""
    return rows @ probabilities @ columns.mT >= threshold
