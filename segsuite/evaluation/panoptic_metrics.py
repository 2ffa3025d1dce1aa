"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019), and that of boundaries
(Cheng et al., "Boundary IoU", CVPR 2021), as pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from segsuite.errors import DataError, UnknownNameError
from segsuite.utils.registry import unknown_name

from .boundary import band_width, boundary_labels

VOID = 0
# Which pixels excuse a predicted segment that is not matched, where an image has several crowds of
# its category. The reference implementation, https://github.com/cocodataset/panopticapi, remembers
# one crowd of a category, the last in the list of segments.
CROWD_RULES = {
    "panopticapi": "of a category's crowds in an image the last one excuses",
    "all": "a category's crowds in an image excuse together",
}


def check_crowd_rule(crowds: str) -> None:
    """Raise an UnknownNameError unless there is a rule of that name."""
    if crowds not in CROWD_RULES:
        where = "rules for crowds (TEST.PANOPTIC.CROWDS)"
        raise UnknownNameError(unknown_name(crowds, CROWD_RULES, where))


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
    *,
    crowds: str = "panopticapi",
    dilation_ratio: float | None = None,
) -> torch.Tensor:
    """Match the segments of one image: those of a category with an IoU above one half.

    Pixels of the target that are void do not count to a union. A predicted segment that is not
    matched, and more than half of which is void or in a crowd of its category, is no mistake.

    Args:
        prediction, target: (H, W) integer ids of segments, 0 for void.
        predicted, true: what each segment is, by its id; the order of `true` is that of the list.
        crowds: a key of `CROWD_RULES`.
        dilation_ratio: for boundary PQ: an IoU is the smaller one of the masks' and of their
            bands', pixels at most this share of the image diagonal from the outline. None: for PQ,
            that of the masks.

    Returns:
        (K, 4) float64: the sum of the IoUs of matched segments, the number of matched, of
        unmatched predicted, and of unmatched true segments. Add up over images, then
        `panoptic_quality`.

    Raises:
        DataError: the maps differ in size, or hold ids that are not described; or a predicted
            segment has no pixel.
        UnknownNameError: there is no such rule.
    """
    check_crowd_rule(crowds)
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
    if dilation_ratio is not None:
        ious = _match_boundaries(ious, prediction, target, dilation_ratio)
    ignored = _ignored_pixels(overlaps, predicted, _excusing(true, crowds))
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


def _match_boundaries(
    ious: Mapping[tuple[int, int], float],
    prediction: torch.Tensor,
    target: torch.Tensor,
    dilation_ratio: float,
) -> dict[tuple[int, int], float]:
    """Of pairs that match by their masks, those that do by their boundaries too, with the smaller
    IoU."""
    height, width = target.shape
    distance = band_width(height, width, dilation_ratio)
    overlaps = _overlaps(_bands(prediction, distance), _bands(target, distance))
    areas: Counter[int] = Counter()
    true_areas: Counter[int] = Counter()
    for (p, t), pixels in overlaps.items():
        areas[p] += pixels
        true_areas[t] += pixels
    matched = {}
    for (p, t), iou in ious.items():
        pixels = overlaps.get((p, t), 0)
        union = areas[p] + true_areas[t] - pixels - overlaps.get((p, VOID), 0)
        if 2 * pixels > union:
            matched[p, t] = min(iou, pixels / union)
    return matched


def _bands(segments: torch.Tensor, distance: int) -> torch.Tensor:
    """Ids of segments in their bands along the outline, -1 within; void is void everywhere."""
    return boundary_labels(segments.int(), distance).masked_fill(segments == VOID, VOID)


def _excusing(true: Mapping[int, PanopticSegment], crowds: str) -> dict[int, int]:
    """The categories of the crowds that excuse segments of theirs, by the ids of the crowds."""
    of_category: dict[int, list[int]] = {}
    for t, segment in true.items():
        if segment.is_crowd:
            of_category.setdefault(segment.category, []).append(t)
    first = -1 if crowds == "panopticapi" else 0
    return {t: category for category, ids in of_category.items() for t in ids[first:]}


def _ignored_pixels(
    overlaps: Mapping[tuple[int, int], int],
    predicted: Mapping[int, PanopticSegment],
    crowds: Mapping[int, int],
) -> Counter[int]:
    """Pixels of each predicted segment that are nobody's: void, or in `crowds` of its category."""
    ignored: Counter[int] = Counter()
    for (p, t), pixels in overlaps.items():
        if p != VOID and (t == VOID or crowds.get(t) == predicted[p].category):
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
    """The number of pixels of each (predicted id, true id) that occurs; ids are -1 or more."""
    if not target.numel():
        return {}
    # Rows are made of a few runs each: far fewer than pixels are to be sorted.
    flat, true = prediction.flatten(), target.flatten()
    begins = torch.ones_like(flat, dtype=torch.bool)
    begins[1:] = (flat[1:] != flat[:-1]) | (true[1:] != true[:-1])
    starts = begins.nonzero()[:, 0]
    lengths = torch.diff(starts, append=starts.new_tensor([len(flat)]))
    base = int(target.max()) + 2
    pairs = (flat[starts].long() + 1) * base + true[starts].long() + 1
    values, index = pairs.unique(return_inverse=True)
    pixels = torch.zeros_like(values).index_add_(0, index, lengths)
    return {
        (value // base - 1, value % base - 1): n
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
