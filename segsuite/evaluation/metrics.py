"""Figures of semantic segmentation from a confusion matrix, as pure functions.

A class may have no pixel in the ground truth, and the mean over the classes depends on what is
done about it: see `ABSENT_CLASS_RULES` and docs/metrics.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from segsuite.errors import UnknownNameError
from segsuite.utils.registry import unknown_name

ABSENT_CLASS_RULES = {
    "detectron2": "without ground truth: left out",
    "nanmean": "neither labelled nor predicted: left out",
    "zero": "neither labelled nor predicted: 0",
    "one": "neither labelled nor predicted: 100",
}


def check_rule(absent_classes: str) -> None:
    """Raise a ValueError unless there is a rule of that name."""
    if absent_classes not in ABSENT_CLASS_RULES:
        where = "rules for absent classes (TEST.SEM_SEG.ABSENT_CLASSES)"
        raise UnknownNameError(unknown_name(absent_classes, ABSENT_CLASS_RULES, where))


@dataclass(frozen=True)
class SemSegMetrics:
    """Figures of one confusion matrix, or of a batch of them with leading dimensions (...).

    All are float64 in [0, 1]; NaN where a class is left out by the rule, or where there is
    nothing to average.
    """

    iou: torch.Tensor  # (..., K)
    accuracy: torch.Tensor  # (..., K), recall of each class
    mean_iou: torch.Tensor  # (...)
    mean_accuracy: torch.Tensor  # (...)
    pixel_accuracy: torch.Tensor  # (...)
    frequency_weighted_iou: torch.Tensor  # (...), IoU weighted by the share of labelled pixels


def sem_seg_metrics(matrix: torch.Tensor, *, absent_classes: str = "detectron2") -> SemSegMetrics:
    """Compute IoU and accuracy, by class and in the mean.

    Args:
        matrix: (..., K + 1, K + 1) int64, pixels by [ground-truth class, predicted class]. The
            last row and column hold what is outside the classes: a pixel predicted so is a miss of
            its class; one labelled so takes no part.
        absent_classes: a key of `ABSENT_CLASS_RULES`.

    Raises:
        ValueError: the matrix is not square.
        UnknownNameError: there is no such rule.
    """
    if matrix.dim() < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] < 2:
        raise ValueError(f"expected a matrix (..., K + 1, K + 1), got {tuple(matrix.shape)}")
    true_positive = matrix.diagonal(dim1=-2, dim2=-1)[..., :-1]
    labelled = matrix[..., :-1, :].sum(-1)
    predicted = matrix[..., :-1, :-1].sum(-2)
    union = labelled + predicted - true_positive

    iou = class_ratio(true_positive, union, labelled, absent_classes)
    accuracy = class_ratio(true_positive, labelled, labelled, absent_classes)
    # A class without labelled pixels has weight zero, whatever the rule.
    weighted = torch.where(labelled > 0, labelled * iou, 0.0)
    total = labelled.sum(-1).double()
    return SemSegMetrics(
        iou=iou,
        accuracy=accuracy,
        mean_iou=iou.nanmean(-1),
        mean_accuracy=accuracy.nanmean(-1),
        pixel_accuracy=true_positive.sum(-1) / total,
        frequency_weighted_iou=weighted.sum(-1) / total,
    )


def class_ratio(
    numerator: torch.Tensor, denominator: torch.Tensor, labelled: torch.Tensor, absent_classes: str
) -> torch.Tensor:
    """Divide pixel counts by class under a rule for absent classes.

    Args:
        numerator, denominator, labelled: (..., K) int64 pixels; `labelled` are those of the
            ground truth.
        absent_classes: a key of `ABSENT_CLASS_RULES`.

    Returns:
        (..., K) float64 in [0, 1], NaN for the classes that the means leave out.

    Raises:
        UnknownNameError: there is no such rule.
    """
    check_rule(absent_classes)
    ratio = numerator.double() / denominator  # 0 / 0 is NaN
    if absent_classes == "detectron2":
        return ratio.masked_fill(labelled == 0, torch.nan)
    if absent_classes == "nanmean":
        return ratio
    return ratio.nan_to_num(nan=1.0 if absent_classes == "one" else 0.0)
