"""How far the instances and segments of an exported file are from PyTorch's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segsuite.structures import Instances, pairwise_iou

from .base import Difference

Segments = tuple[Tensor, list[tuple[int, bool]]]

# Two boxes of one class that overlap by more are one instance.
_SAME = 0.99
# Scores that are as close to the least that is kept may end on either side of it.
_MARGIN = 1e-3
# The largest differences that are taken for rounding: of instances and of pixels as shares of all,
# and of scores.
_SHARES = {"float32": 0.02, "float16": 0.5, "bfloat16": 1.0, "int8": math.inf}
_SCORES = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.5, "int8": math.inf}


def compare_instances(
    given: Instances, expected: Instances, least_score: float, precision: str
) -> list[Difference]:
    """The differences of instances, and of the scores, boxes and masks of those that are the same.

    Args:
        given, expected: of one image: `pred_boxes`, `scores`, `pred_classes` and maybe
            `pred_masks`.
        least_score: the score below which instances are left out.
        precision: of the export, which says how much is rounding.
    """
    same = given.pred_classes[:, None] == expected.pred_classes
    overlap = pairwise_iou(given.pred_boxes, expected.pred_boxes) * same
    pairs = _pairs(overlap)
    alone = 0
    for instances, paired in ((given, {i for i, _ in pairs}), (expected, {j for _, j in pairs})):
        sure = (instances.scores > least_score + _MARGIN).tolist()
        alone += sum(sure[i] for i in range(len(instances)) if i not in paired)
    total = max(len(given) + len(expected), 1)
    differences = [
        Difference("share of instances that only one has", alone / total, _SHARES[precision])
    ]
    if pairs:
        ours, theirs = torch.tensor(pairs).unbind(1)
        scores = (given.scores[ours] - expected.scores[theirs]).abs().amax()
        differences.append(Difference("scores", float(scores), _SCORES[precision]))
        corners = given.pred_boxes.tensor[ours] - expected.pred_boxes.tensor[theirs]
        differences.append(Difference("pixels of box corners", float(corners.abs().amax())))
        if expected.has("pred_masks"):
            share = _mask_difference(given[ours], expected[theirs])
            differences.append(Difference("share of mask pixels", share, _SHARES[precision]))
    return differences


def compare_segments(given: Segments, expected: Segments, precision: str) -> Difference:
    """The share of pixels that are in segments of another class.

    Args:
        given, expected: ids (H, W), and what each segment is, from the first on: its category and
            whether it is a thing.
    """
    ours, theirs = (
        torch.tensor([-1, *(2 * category + is_thing for category, is_thing in segments)])[
            ids.long()
        ]
        for ids, segments in (given, expected)
    )
    share = float((ours != theirs).float().mean())
    return Difference("share of panoptic pixels", share, _SHARES[precision])


def _pairs(overlap: Tensor) -> list[tuple[int, int]]:
    """The places (given, expected) that are the same instance, each in one pair."""
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    for i, row in enumerate(overlap.tolist()):
        free = [(value, j) for j, value in enumerate(row) if value > _SAME and j not in taken]
        if free:
            _, j = max(free, key=lambda found: (found[0], -found[1]))
            taken.add(j)
            pairs.append((i, j))
    return pairs


def _mask_difference(given: Instances, expected: Instances) -> float:
    different = area = 0
    for a, b in zip(given.pred_masks, expected.pred_masks, strict=True):
        different += int((a != b).sum())
        area += int(b.sum())
    return different / max(area, 1)
