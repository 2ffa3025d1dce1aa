"""Figures of semantic segmentation from counts of pixels, as pure functions.

A class may have no pixel in the ground truth, and the mean over the classes depends on what is
done about it: see `ABSENT_CLASS_RULES` and docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def averaged_labels(classes: Sequence[str]) -> list[int]:
    """The labels that the means are over: of the classes that a data set names. A single one is
    label 1; background, label 0, is in no mean."""
    return [1] if len(classes) == 1 else list(range(len(classes)))


@dataclass(frozen=True)
class SemSegMetrics:
    """Figures of one set of images, or of a batch of sets with leading dimensions (...).

    All are float64 in [0, 1]; NaN where a class is left out by the rule, or where there is
    nothing to average.
    """

    iou: torch.Tensor  # (..., K)
    accuracy: torch.Tensor  # (..., K), recall of each class
    dice: torch.Tensor  # (..., K), the F1 score of the pixels of each class
    mean_iou: torch.Tensor  # (...)
    mean_accuracy: torch.Tensor  # (...)
    mean_dice: torch.Tensor  # (...)
    pixel_accuracy: torch.Tensor  # (...)
    frequency_weighted_iou: torch.Tensor  # (...), IoU weighted by the share of labelled pixels

    def named(self, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """The figures (...) by the names they are written under.

        Args:
            names: of the K classes.
        """
        figures = {
            "mIoU": self.mean_iou,
            "fwIoU": self.frequency_weighted_iou,
            "mACC": self.mean_accuracy,
            "pACC": self.pixel_accuracy,
            "mDice": self.mean_dice,
        }
        by_class = {"IoU": self.iou, "ACC": self.accuracy, "Dice": self.dice}
        for figure, values in by_class.items():
            for k, name in enumerate(names):
                figures[f"{figure}-{name}"] = values[..., k]
        return figures


def sem_seg_metrics(
    matrix: torch.Tensor,
    *,
    absent_classes: str = "detectron2",
    averaged: Sequence[int] | None = None,
) -> SemSegMetrics:
    """Compute IoU, accuracy and Dice, by class and in the mean.

    Args:
        matrix: (..., K + 1, K + 1) int64, pixels by [ground-truth class, predicted class]. The
            last row and column hold what is outside the classes: a pixel predicted so is a miss of
            its class; one labelled so takes no part.
        absent_classes: a key of `ABSENT_CLASS_RULES`.
        averaged: the classes that the means are over; None: all.

    Raises:
        ValueError: the matrix is not square.
        UnknownNameError: there is no such rule.
    """
    if matrix.dim() < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] < 2:
        raise ValueError(f"expected a matrix (..., K + 1, K + 1), got {tuple(matrix.shape)}")
    counts = pixel_counts(matrix)
    return metrics_of_counts(counts, absent_classes=absent_classes, averaged=averaged)


def pixel_counts(matrix: torch.Tensor) -> torch.Tensor:
    """Confusion matrices (..., K + 1, K + 1) -> (..., 3, K) int64 pixels by class: those that are
    right, that are labelled, and that are predicted where something is labelled."""
    right = matrix.diagonal(dim1=-2, dim2=-1)[..., :-1]
    labelled = matrix[..., :-1, :].sum(-1)
    predicted = matrix[..., :-1, :-1].sum(-2)
    return torch.stack([right, labelled, predicted], -2)


def metrics_of_counts(
    counts: torch.Tensor,
    *,
    absent_classes: str = "detectron2",
    averaged: Sequence[int] | None = None,
) -> SemSegMetrics:
    """`sem_seg_metrics` of what `pixel_counts` gives, (..., 3, K), summed over images."""
    right, labelled, predicted = counts.unbind(-2)
    iou = class_ratio(right, labelled + predicted - right, labelled, absent_classes)
    accuracy = class_ratio(right, labelled, labelled, absent_classes)
    dice = class_ratio(2 * right, labelled + predicted, labelled, absent_classes)
    # A class without labelled pixels has weight zero, whatever the rule.
    weighted = torch.where(labelled > 0, labelled * iou, 0.0)
    total = labelled.sum(-1).double()
    chosen = list(range(iou.shape[-1]) if averaged is None else averaged)
    return SemSegMetrics(
        iou=iou,
        accuracy=accuracy,
        dice=dice,
        mean_iou=iou[..., chosen].nanmean(-1),
        mean_accuracy=accuracy[..., chosen].nanmean(-1),
        mean_dice=dice[..., chosen].nanmean(-1),
        pixel_accuracy=right.sum(-1) / total,
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
