"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019), as pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from segsuite.errors import DataError

VOID = 0


@dataclass(frozen=True)
class PanopticSegment:
    """What a segment of a panoptic map is.

    Attributes:
        category: in [0, K).
        is_crowd: a group of things that are not told apart; in the ground truth alone.
    """

    category: int
    is_crowd: bool = False


@dataclass(frozen=True)
class PanopticQuality:
    """Figures in [0, 1]; NaN for categories that are neither in the ground truth nor predicted."""

    pq: torch.Tensor  # (K,) float64, sq * rq
    sq: torch.Tensor  # (K,), segmentation quality: the mean IoU of the matched segments
    rq: torch.Tensor  # (K,), recognition quality: the F1 of the matches

    def mean(self, of: torch.Tensor) -> dict[str, float]:
        """The means over the categories where `of`, (K,) bool, is true; NaN where there are none.

        Categories that are NaN take no part.
        """
        return {name: getattr(self, name)[of].nanmean().item() for name in ("pq", "sq", "rq")}


def panoptic_counts(
    prediction: torch.Tensor,
    predicted: Mapping[int, PanopticSegment],
    target: torch.Tensor,
    true: Mapping[int, PanopticSegment],
    num_categories: int,
) -> torch.Tensor:
    """Match the segments of one image: those of a category with an IoU above one half.

    Pixels of the target that are void do not count to a union. A predicted segment that is not
    matched, and more than half of which is void or in crowds of its category, is no mistake.

    Args:
        prediction, target: (H, W) integer ids of segments, 0 for void.
        predicted, true: what each segment is, by its id.

    Returns:
        (K, 4) float64: the sum of the IoUs of matched segments, the number of matched, of
        unmatched predicted, and of unmatched true segments. Add up over images, then
        `panoptic_quality`.

    Raises:
        DataError: the maps differ in size, or hold ids that are not described; or a predicted
            segment has no pixel.
    """
    if prediction.shape != target.shape:
        raise DataError(
            f"the prediction has {tuple(prediction.shape)} pixels (height x width), "
            f"the ground truth {tuple(target.shape)}"
        )
    overlaps = _overlaps(prediction, target)
    areas: Counter[int] = Counter()
    true_areas: Counter[int] = Counter()
    for (p, t), pixels in overlaps.items():
        areas[p] += pixels
        true_areas[t] += pixels
    _check_ids("prediction", areas, predicted)
    _check_ids("ground truth", true_areas, true)
    without = [p for p in predicted if p not in areas]
    if without:
        raise DataError(f"predicted segment {without[0]} has no pixel")

    ious = _match(overlaps, areas, predicted, true_areas, true)
    ignored = _ignored_pixels(overlaps, predicted, true)
    matched = {p for p, _ in ious}
    found = {t for _, t in ious}
    counts = torch.zeros(num_categories, 4, dtype=torch.float64)
    for (p, _), iou in ious.items():
        counts[predicted[p].category, :2] += torch.tensor([iou, 1], dtype=torch.float64)
    for p, segment in predicted.items():
        if p not in matched and 2 * ignored[p] <= areas[p]:
            counts[segment.category, 2] += 1
    for t, segment in true.items():
        if t not in found and not segment.is_crowd:
            counts[segment.category, 3] += 1
    return counts


def _match(
    overlaps: Mapping[tuple[int, int], int],
    areas: Mapping[int, int],
    predicted: Mapping[int, PanopticSegment],
    true_areas: Mapping[int, int],
    true: Mapping[int, PanopticSegment],
) -> dict[tuple[int, int], float]:
    """The IoU of each pair of segments of one category where it is above one half."""
    ious = {}
    for (p, t), pixels in overlaps.items():
        if VOID in (p, t) or true[t].is_crowd or true[t].category != predicted[p].category:
            continue
        union = areas[p] + true_areas[t] - pixels - overlaps.get((p, VOID), 0)
        if 2 * pixels > union:
            ious[p, t] = pixels / union
    return ious


def _ignored_pixels(
    overlaps: Mapping[tuple[int, int], int],
    predicted: Mapping[int, PanopticSegment],
    true: Mapping[int, PanopticSegment],
) -> Counter[int]:
    """Pixels of each predicted segment that are nobody's: void, or in crowds of its category."""
    ignored: Counter[int] = Counter()
    for (p, t), pixels in overlaps.items():
        if p == VOID:
            continue
        in_crowd = t != VOID and true[t].is_crowd and true[t].category == predicted[p].category
        if t == VOID or in_crowd:
            ignored[p] += pixels
    return ignored


def panoptic_quality(counts: torch.Tensor) -> PanopticQuality:
    """The figures of each category.

    Args:
        counts: (K, 4) from `panoptic_counts`, summed over images.
    """
    iou, matched, false, missed = counts.double().unbind(-1)
    segments = matched + 0.5 * false + 0.5 * missed
    absent = segments == 0
    pq, rq = (torch.where(absent, torch.nan, x / segments.clamp(min=0.5)) for x in (iou, matched))
    sq = torch.where(absent, torch.nan, iou / matched.clamp(min=1))
    return PanopticQuality(pq, sq, rq)


def _overlaps(prediction: torch.Tensor, target: torch.Tensor) -> dict[tuple[int, int], int]:
    """The number of pixels of each (predicted id, true id) that occurs."""
    base = int(target.max()) + 1 if target.numel() else 1
    pairs = prediction.flatten().long() * base + target.flatten().long()
    # Rows are made of a few runs each: far fewer than pixels are to be sorted.
    runs, lengths = torch.unique_consecutive(pairs, return_counts=True)
    values, index = runs.unique(return_inverse=True)
    pixels = torch.zeros_like(values).index_add_(0, index, lengths)
    return {
        (value // base, value % base): n
        for value, n in zip(values.tolist(), pixels.tolist(), strict=True)
    }


def _check_ids(
    name: str, areas: Mapping[int, int], segments: Mapping[int, PanopticSegment]
) -> None:
    unknown = [i for i in areas if i != VOID and i not in segments]
    if unknown:
        raise DataError(
            f"the {name} has {areas[unknown[0]]} pixels of segment {unknown[0]}, which its "
            "segments_info does not list"
        )
