"""From scored boxes to the proposals of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from segsuite.structures import Boxes, Instances, clip_boxes

# The score of a proposal that is certain: the logit of a probability of 1 - 1e-10.
_CERTAIN = math.log((1.0 - 1e-10) / (1 - (1.0 - 1e-10)))


def find_top_proposals(
    boxes: Tensor,
    logits: Tensor,
    levels: Tensor,
    image_sizes: Sequence[tuple[int, int]],
    *,
    nms_thresh: float,
    topk: int,
    min_box_size: float,
) -> list[Instances]:
    """Keep the best of each image's boxes that do not overlap a better one of the same level.

    Args:
        boxes: (N, K, 4) x1, y1, x2, y2 of N images.
        logits: (N, K); boxes and scores that are not finite are dropped.
        levels: (K,) integers.
        image_sizes: (height, width) of each image, to which boxes are clipped.
        nms_thresh: the IoU above which the worse of two boxes is dropped.
        topk: the most that are kept of an image.
        min_box_size: boxes with a side of that many pixels or fewer are dropped.

    Returns:
        For each image `proposal_boxes` and `objectness_logits`, best first.
    """
    results = []
    for image_boxes, scores, size in zip(boxes, logits, image_sizes, strict=True):
        image_boxes = clip_boxes(image_boxes, size)
        keep = Boxes(image_boxes).nonempty(min_box_size)
        keep &= image_boxes.isfinite().all(dim=1) & scores.isfinite()
        image_boxes, scores = image_boxes[keep], scores[keep]
        best = batched_nms(image_boxes, scores, levels[keep], nms_thresh)[:topk]
        results.append(
            Instances(size, proposal_boxes=Boxes(image_boxes[best]), objectness_logits=scores[best])
        )
    return results


def add_ground_truth_to_proposals(
    gt_boxes: Sequence[Boxes], proposals: Sequence[Instances]
) -> list[Instances]:
    """The proposals of each image and, behind them, its ground-truth boxes as certain ones."""
    results = []
    for boxes, of_image in zip(gt_boxes, proposals, strict=True):
        logits = torch.full((len(boxes),), _CERTAIN, device=boxes.device)
        truth = Instances(of_image.image_size, proposal_boxes=boxes, objectness_logits=logits)
        results.append(Instances.cat([of_image, truth]))
    return results
