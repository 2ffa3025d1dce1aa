"""Confidence intervals of IoU, and the comparison of two runs, by bootstrap over images.

A test set is a sample of images. Drawing as many images from it again and again, with replacement,
shows how much a figure depends on which images were in the sample (Efron, "Bootstrap Methods:
Another Look at the Jackknife", 1979). Pixels of one image are not drawn apart: they are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from segsuite.errors import DataError

from .metrics import class_ratio

NUM_SAMPLES = 1000
LEVEL = 0.95
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
    num_samples: int = NUM_SAMPLES,
    level: float = LEVEL,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Percentile intervals of the mean IoU and of the IoU of each class.

    Args:
        counts: (N, 3, K) int64 of N images, see `load_image_counts`.
        absent_classes: a key of `metrics.ABSENT_CLASS_RULES`, applied to every sample.
        num_samples: how often N images are drawn.
        level: share of the samples between the two ends.

    Returns:
        Two (1 + K,) float64 in [0, 1], the lower and the upper ends, the mean first; NaN where no
        sample has a figure. The same counts give the same ends.
    """
    sampled = _sampled_ious(counts[None], absent_classes, num_samples)[0]
    figures = torch.cat([sampled.nanmean(1, keepdim=True), sampled], 1)
    tail = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = figures.nanquantile(tail, 0)
    return low, high


def compare_mean_iou(
    first: torch.Tensor,
    second: torch.Tensor,
    *,
    absent_classes: str = "detectron2",
    num_samples: int = NUM_SAMPLES,
) -> Comparison:
    """Compare the mIoU of two runs on the same images by the paired bootstrap.

    Both runs are measured on the same drawn images, so that what makes an image hard for both
    cancels.

    Args:
        first, second: (N, 3, K) int64, image by image the same.

    Raises:
        DataError: counts of different shapes, or of another ground truth.
    """
    if first.shape != second.shape or not torch.equal(first[:, 1], second[:, 1]):
        raise DataError(
            f"the counts, {tuple(first.shape)} and {tuple(second.shape)}, are not of the same "
            "ground truth; compare runs on the same images, in one order and with the same classes"
        )
    both = torch.stack([first, second])
    before, after = _ious(both.sum(1), absent_classes).nanmean(-1).tolist()
    difference = after - before
    sampled = _sampled_ious(both, absent_classes, num_samples).nanmean(-1)
    differences = sampled[1] - sampled[0]
    low, high = differences.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    # The distribution under no difference is that of the samples, moved to zero.
    extreme = int(((differences - difference).abs() >= abs(difference)).sum())
    p = (1 + extreme) / (num_samples + 1)
    return Comparison(before, after, difference=difference, low=low, high=high, p=p)


def _sampled_ious(counts: torch.Tensor, absent_classes: str, num_samples: int) -> torch.Tensor:
    """(R, N, 3, K) counts of R runs -> (R, num_samples, K) IoU on the same drawn images.

    Memory does not grow with the number of images times the number of samples: samples are drawn
    in chunks.
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
        result.append(_ious((times @ flat).unflatten(2, counts.shape[2:]), absent_classes))
    return torch.cat(result, 1)


def _ious(totals: torch.Tensor, absent_classes: str) -> torch.Tensor:
    right, labelled, predicted = totals.unbind(-2)
    return class_ratio(right, labelled + predicted - right, labelled, absent_classes)
