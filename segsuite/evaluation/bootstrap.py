"""Confidence intervals of IoU, and the comparison of two runs, by bootstrap over images.

A test set is a sample of images. Drawing as many images from it again and again, with replacement,
shows how much a figure depends on which images were in the sample (Efron, "Bootstrap Methods:
Another Look at the Jackknife", 1979). Pixels of one image are not drawn apart: they are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from segsuite.errors import DataError

from .metrics import metrics_of_counts
from .slice_figures import LEVEL

NUM_SAMPLES = 1000
_CHUNK = 1 << 22  # numbers in memory at once, 32 MiB


@dataclass(frozen=True)
class Comparison:
    """How much better one run is than another on the same images, in [0, 1].

    Attributes:
        first, second: mIoU of the two.
        difference: `second` - `first`.
        low, high: the 95 % interval of the difference.
        p: two-sided: how often a difference of this sample's kind would come about by the choice
            of images if there were none; at least 1 / (samples + 1).
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


def iou_intervals(
    counts: torch.Tensor,
    *,
    absent_classes: str = "detectron2",
    averaged: Sequence[int] | None = None,
    num_samples: int = NUM_SAMPLES,
    level: float = LEVEL,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Percentile intervals of the mean IoU and of the IoU of each class.

    Args:
        counts: (N, 3, K) int64 of N images, see `load_image_counts`.
        absent_classes: a key of `metrics.ABSENT_CLASS_RULES`, applied to every sample.
        averaged: the classes that the mean is over; None: all.
        num_samples: how often N images are drawn.
        level: share of the samples between the two ends.

    Returns:
        Two (1 + K,) float64 in [0, 1], the lower and the upper ends, the mean first; NaN where no
        sample has a figure. The same counts give the same ends.
    """
    totals = sampled_totals(counts[None], num_samples)[0]
    metrics = metrics_of_counts(totals, absent_classes=absent_classes, averaged=averaged)
    figures = torch.cat([metrics.mean_iou[:, None], metrics.iou], 1)
    tail = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = figures.nanquantile(tail, 0)
    return low, high


def compare_mean_iou(
    first: torch.Tensor,
    second: torch.Tensor,
    *,
    absent_classes: str = "detectron2",
    averaged: Sequence[int] | None = None,
    num_samples: int = NUM_SAMPLES,
) -> Comparison:
    """Compare the mIoU of two runs on the same images by the paired bootstrap.

    Both runs are measured on the same drawn images, so that what makes an image hard for both
    cancels.

    Args:
        first, second: (N, 3, K) int64, image by image the same.
        averaged: the classes that the mean is over; None: all.

    Raises:
        DataError: counts of different shapes, or of another ground truth.
    """
    if first.shape != second.shape or not torch.equal(first[:, 1], second[:, 1]):
        raise DataError(
            f"the counts, {tuple(first.shape)} and {tuple(second.shape)}, are not of the same "
            "ground truth; compare runs on the same images, in one order and with the same classes"
        )
    options: dict[str, Any] = {"absent_classes": absent_classes, "averaged": averaged}
    both = torch.stack([first, second])
    before, after = metrics_of_counts(both.sum(1), **options).mean_iou.tolist()
    difference = after - before
    sampled = metrics_of_counts(sampled_totals(both, num_samples), **options).mean_iou
    differences = sampled[1] - sampled[0]
    low, high = differences.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    # The distribution under no difference is that of the samples, moved to zero.
    extreme = int(((differences - difference).abs() >= abs(difference)).sum())
    p = (1 + extreme) / (num_samples + 1)
    return Comparison(before, after, difference=difference, low=low, high=high, p=p)


def sampled_totals(counts: torch.Tensor, num_samples: int = NUM_SAMPLES) -> torch.Tensor:
    """Draw as many images as there are, again and again, and sum up the counts of each sample.

    Memory does not grow with the number of images times the number of samples: samples are drawn
    in chunks.

    Args:
        counts: (R, N, ...) of R runs on the same N images; whole numbers.

    Returns:
        (R, num_samples, ...) float64, every run of the same drawn images.
    """
    runs, images = counts.shape[:2]
    flat = counts.double().flatten(2)  # whole numbers below 2^53 are exact
    generator = torch.Generator().manual_seed(0)
    result = []
    chunk = max(1, _CHUNK // max(images, runs * flat.shape[2]))
    for start in range(0, num_samples, chunk):
        size = min(chunk, num_samples - start)
        drawn = torch.randint(images, (size, images), generator=generator)
        times = torch.zeros(size, images, dtype=torch.float64)
        times.scatter_add_(1, drawn, torch.ones_like(times))
        result.append((times @ flat).unflatten(2, counts.shape[2:]))
    return torch.cat(result, 1)
