"""From scored boxes to the proposals of an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segsuite.ops import batched_nms
from segsuite.structures import (
    InstanceBatch,
    Instances,
    at_most,
    clip_boxes,
    first_places,
    size_tensor,
    take_places,
)


def top_proposals(
    boxes: Tensor,
    logits: Tensor,
    levels: Tensor,
    image_sizes: Tensor,
    *,
    nms_thresh: float,
    topk: int,
    min_box_size: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Keep the best of each image's boxes that do not overlap a better one of the same level.

    Args:
        boxes: (N, K, 4) x1, y1, x2, y2 of N images.
        logits: (N, K); boxes and scores that are not finite are dropped.
        levels: (K,) integers.
        image_sizes: (N, 2) height and width, to which boxes are clipped.
        nms_thresh: the IoU above which the worse of two boxes is dropped.
        topk: the most that are kept of an image.
        min_box_size: boxes with a side of that many pixels or fewer are dropped.

    Returns:
        Boxes (N, P, 4) and logits (N, P), P the lesser of `topk` and K, best first, and counts
        (N,) int64: the first of each image are proposals, the others zeros.
    """
    boxes = clip_boxes(boxes, image_sizes)
    large = (boxes[..., 2:] - boxes[..., :2] > min_box_size).all(dim=2)
    valid = large & boxes.isfinite().all(dim=2) & logits.isfinite()
    scores = logits.masked_fill(~valid, -torch.inf)
    topk = at_most(topk, boxes.shape[1])
    index, counts = batched_nms(boxes, scores, levels, nms_thresh, topk)
    missing = ~first_places(counts, topk)
    boxes = take_places(boxes, index).masked_fill(missing[..., None], 0)
    return boxes, take_places(logits, index).masked_fill(missing, 0), counts


def find_top_proposals(
    boxes: Tensor,
    logits: Tensor,
    levels: Tensor,
    image_sizes: Sequence[tuple[int, int]],
    *,
    nms_thresh: float,
    topk: int,
    min_box_size: float,
) -> Sequence[Instances]:
    """`top_proposals` of images of sizes (height, width), as `Instances` with `proposal_boxes` and
    `objectness_logits`."""
    boxes, logits, counts = top_proposals(
        boxes,
        logits,
        levels,
        size_tensor(image_sizes, boxes.device),
        nms_thresh=nms_thresh,
        topk=topk,
        min_box_size=min_box_size,
    )
    valid = first_places(counts, boxes.shape[1])
    return InstanceBatch(image_sizes, valid, {"proposal_boxes": boxes, "objectness_logits": logits})
