"""Boundary IoU of semantic label maps (Cheng et al., "Boundary IoU", CVPR 2021).

The IoU of two masks, each reduced to the band of its own pixels that lie within a distance d of
its outline. Every class has its own mask, its own band and its own figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from segsuite.ops.confusion_matrix import confusion_matrix

from .metrics import class_ratio

_NO_CLASS = -1


def band_width(height: int, width: int, dilation_ratio: float) -> int:
    """The distance d in pixels: a share of the image diagonal, at least 1."""
    return max(1, round(dilation_ratio * math.hypot(height, width)))


def boundary_labels(labels: torch.Tensor, distance: int) -> torch.Tensor:
    """Keep the label of the pixels in the boundary band of their class's mask, -1 elsewhere.

    A pixel is in the band if a pixel of another label, or the outside of the image, is at most
    `distance` away (in the larger of rows and columns, as the erosion by a square measures it).
    So one pass serves all classes: what a mask loses by erosion is where the (2d + 1)-square
    around a pixel is not of one label.

    Args:
        labels: (H, W) int16 or int32, -1 for pixels of no class.
        distance: at least 1.

    Returns:
        (H, W), the type of `labels`.
    """
    padded = F.pad(labels, (1,) * 4, value=_NO_CLASS)
    lowest, highest = (_square_reduce(padded, 3, f) for f in (torch.minimum, torch.maximum))
    # On the way to a pixel of another label, as far as d, lies one whose neighbour it is: what is
    # near of these, at most d - 1 away, is a map of bytes.
    outline = F.pad((lowest != highest).byte(), (distance - 1,) * 4)
    near = _square_reduce(outline, 2 * distance - 1, torch.maximum)
    return labels.masked_fill(near == 0, _NO_CLASS)


def boundary_confusion_matrix(
    prediction: torch.Tensor,
    target: torch.Tensor,
    num_classes: int,
    *,
    ignore_index: int = 255,
    dilation_ratio: float = 0.02,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Count the pixels of one image by the boundary bands that they are in.

    Pixels that the ground truth ignores belong to no mask of either map.

    Args:
        prediction, target: (H, W) integer labels.
        dilation_ratio: width of the band as a share of the image diagonal.
        out: a matrix to add to.

    Returns:
        (K + 1, K + 1) int64, [class whose ground-truth band holds the pixel, class whose predicted
        band does], the last index for none: the diagonal holds the intersections, rows and columns
        sum to the bands. Add up over images, then `boundary_iou`.
    """
    ignored = target == ignore_index
    height, width = target.shape
    distance = band_width(height, width, dilation_ratio)
    predicted, labelled = (
        boundary_labels(labels.to(torch.int16).masked_fill(ignored, _NO_CLASS), distance)
        for labels in (prediction, target)
    )
    # -1 is outside the classes, and not the ignore value: counted in the last row and column.
    return confusion_matrix(predicted, labelled, num_classes, ignore_index=_NO_CLASS - 1, out=out)


def boundary_iou(matrix: torch.Tensor, *, absent_classes: str = "detectron2") -> torch.Tensor:
    """The boundary IoU of each class: (..., K) float64 in [0, 1], NaN where left out by the rule.

    Args:
        matrix: (..., K + 1, K + 1) int64 from `boundary_confusion_matrix`, summed over images.
        absent_classes: a key of `metrics.ABSENT_CLASS_RULES`.
    """
    return boundary_iou_of_counts(boundary_counts(matrix), absent_classes=absent_classes)


def boundary_counts(matrix: torch.Tensor) -> torch.Tensor:
    """(..., 3, K) pixels of the intersection, the ground truth's band and the predicted one of each
    class, from what `boundary_iou` takes."""
    intersection = matrix.diagonal(dim1=-2, dim2=-1)[..., :-1]
    return torch.stack([intersection, matrix[..., :-1, :].sum(-1), matrix[..., :-1].sum(-2)], -2)


def boundary_iou_of_counts(
    counts: torch.Tensor, *, absent_classes: str = "detectron2"
) -> torch.Tensor:
    """`boundary_iou` of what `boundary_counts` gives, summed over images."""
    common, labelled, predicted = counts.unbind(-2)
    return class_ratio(common, labelled + predicted - common, labelled, absent_classes)


def _square_reduce(x: torch.Tensor, size: int, reduce: Callable) -> torch.Tensor:
    """Minimum or maximum over each size x size square of a map, (H, W) -> (H - size + 1, ...)."""
    return _window_reduce(_window_reduce(x, 0, size, reduce), 1, size, reduce)


def _window_reduce(x: torch.Tensor, dim: int, size: int, reduce: Callable) -> torch.Tensor:
    """The same over `size` consecutive elements of `dim`, in log2(size) steps by doubling."""
    length = x.shape[dim] - size + 1
    covered = 1
    while 2 * covered <= size:
        n = x.shape[dim] - covered
        x = reduce(x.narrow(dim, 0, n), x.narrow(dim, covered, n))
        covered *= 2
    return reduce(x.narrow(dim, 0, length), x.narrow(dim, size - covered, length))
