"""`Matcher`: which object each anchor or proposal is meant to find."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segsuite.errors import ConfigError


class Matcher:
    """Gives each prediction the object it fits best, and a label by how well it fits.

    Args:
        thresholds: of the quality, ascending.
        labels: one more than `thresholds`: the label below the first, between the first and the
            second, and so on. 1 is foreground, 0 background, -1 ignored.
        allow_low_quality_matches: the best predictions of each object are foreground however badly
            they fit, so that every object has one.

    Raises:
        ConfigError: the numbers of thresholds and labels do not fit, a label is not -1, 0 or 1, or
            the thresholds do not ascend.
    """

    def __init__(
        self,
        thresholds: Sequence[float],
        labels: Sequence[int],
        allow_low_quality_matches: bool = False,
    ):
        if len(labels) != len(thresholds) + 1 or not set(labels) <= {-1, 0, 1}:
            raise ConfigError(
                f"{len(thresholds)} IoU thresholds {tuple(thresholds)} take {len(thresholds) + 1} "
                f"labels of -1 (ignore), 0 (background), 1 (object), got {tuple(labels)}"
            )
        if list(thresholds) != sorted(thresholds):
            raise ConfigError(f"IoU thresholds must ascend, got {tuple(thresholds)}")
        self.thresholds = tuple(thresholds)
        self.labels = tuple(labels)
        self.allow_low_quality_matches = allow_low_quality_matches

    def __call__(self, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Match M objects with N predictions.

        Args:
            quality: (..., M, N) >= 0, for instance the IoU of their boxes.

        Returns:
            (..., N) int64, the best object of each prediction (0 where there are no objects), and
            (..., N) int8, its label.
        """
        if quality.shape[-2] == 0:
            matches = torch.zeros_like(quality.sum(dim=-2), dtype=torch.int64)
            return matches, torch.full_like(matches, self.labels[0], dtype=torch.int8)
        best, matches = quality.max(dim=-2)
        labels = torch.full_like(matches, self.labels[0], dtype=torch.int8)
        for threshold, label in zip(self.thresholds, self.labels[1:], strict=True):
            labels = labels.masked_fill(best >= threshold, label)
        if self.allow_low_quality_matches:
            of_object = quality.amax(dim=-1, keepdim=True)
            # An object that nothing overlaps would otherwise make all that misses it foreground.
            lowest = of_object.masked_fill(of_object == 0, torch.inf)
            labels = labels.masked_fill((quality == lowest).any(dim=-2), 1)
        return matches, labels
