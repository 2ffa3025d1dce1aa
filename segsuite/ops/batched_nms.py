"""Non-maximum suppression of many images at once, with a result of fixed size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segsuite.ops._library import EXTENSION_LOADED, has_kernels

_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def batched_nms(
    boxes: Tensor, scores: Tensor, groups: Tensor | None, iou_threshold: float, topk: int
) -> tuple[Tensor, Tensor]:
    """Keep the best of each image's boxes that do not overlap a better one of the same group.

    Boxes are taken in the order of their scores, equal scores in that of their indices. A box is
    kept unless its intersection over union with one that was kept before, of the same image and
    group, is greater than the threshold. That keeps the boxes that `torchvision.ops.nms` keeps of
    each group. Shapes of the result do not depend on values, so nothing waits for the device, and
    `torch.compile` and `torch.export` trace the operator.

    An entry whose score is -inf or NaN, or whose box is not finite, is never kept and suppresses
    nothing: that is how images of different numbers of boxes are padded, and how boxes under a
    threshold are left out, at next to no cost.

    Args:
        boxes: (N, L, 4) float32, float16 or bfloat16: x1, y1, x2, y2 with x1 <= x2 and y1 <= y2.
        scores: (N, L) of one of these types.
        groups: (L,) or (N, L) int64, any values: levels of a pyramid, or classes. None: each image
            is one group.
        iou_threshold: from 0 on; 1 or more suppresses nothing.
        topk: the most boxes that are kept of an image, the best over all its groups.

    Returns:
        Indices (N, topk) int64 of the boxes that are kept, best first: the first ``counts[i]`` of
        row i, the others are 0. Counts (N,) int64, at most `topk`. Neither has a gradient; IoUs are
        computed in float32 and are the same on all devices.

    Raises:
        ValueError: shapes, types or devices do not fit; a negative threshold or `topk`.
    """
    _check(boxes, scores, groups, iou_threshold, topk)
    boxes, scores = boxes.detach().float(), scores.detach().float()
    if has_kernels(boxes.device):
        return torch.ops.segsuite.batched_nms(boxes, scores, groups, iou_threshold, topk)
    return _reference(boxes, scores, groups, iou_threshold, topk)


def _check(
    boxes: Tensor, scores: Tensor, groups: Tensor | None, iou_threshold: float, topk: int
) -> None:
    if boxes.dim() != 3 or boxes.shape[2] != 4:
        raise ValueError(f"boxes are {tuple(boxes.shape)}; expected (N, L, 4): x1, y1, x2, y2")
    if scores.shape != boxes.shape[:2]:
        raise ValueError(
            f"scores are {tuple(scores.shape)} for boxes {tuple(boxes.shape)}; "
            f"expected {tuple(boxes.shape[:2])}, one for each box"
        )
    _check_tensor("boxes", boxes, boxes, _FLOATS)
    _check_tensor("scores", scores, boxes, _FLOATS)
    if groups is not None:
        _check_tensor("groups", groups, boxes, (torch.int64,))
        if groups.shape not in (scores.shape, scores.shape[1:]):
            raise ValueError(
                f"groups are {tuple(groups.shape)} for scores {tuple(scores.shape)}; "
                f"expected {tuple(scores.shape[1:])} for all images or {tuple(scores.shape)}"
            )
    if not iou_threshold >= 0:
        raise ValueError(f"iou_threshold is {iou_threshold}; expected a number from 0 on")
    if topk < 0:
        raise ValueError(f"topk is {topk}; expected 0 or more")


def _check_tensor(
    name: str, tensor: Tensor, boxes: Tensor, dtypes: tuple[torch.dtype, ...]
) -> None:
    if tensor.dtype not in dtypes:
        expected = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise ValueError(f"{name} are {tensor.dtype}; expected {expected}")
    if tensor.device != boxes.device:
        raise ValueError(
            f"{name} are on {tensor.device} and boxes on {boxes.device}; "
            "they must be on the same device"
        )


def _reference(
    boxes: Tensor, scores: Tensor, groups: Tensor | None, iou_threshold: float, topk: int
) -> tuple[Tensor, Tensor]:
    """Take the best box of every image and drop what overlaps it, `topk` times."""
    num_images, length = scores.shape
    indices = scores.new_zeros((num_images, topk), dtype=torch.int64)
    counts = scores.new_zeros((num_images,), dtype=torch.int64)
    if length == 0:
        return indices, counts
    threshold = _round_down(min(iou_threshold, 1.0))
    invalid = scores.isnan() | ~boxes.isfinite().all(2)
    remaining = scores.masked_fill(invalid, -torch.inf)
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    for place in range(min(topk, length)):
        score, best = remaining.max(1, keepdim=True)  # the first of equal scores
        found = score > -torch.inf
        if found.device.type == "cpu" and not torch.compiler.is_compiling() and not found.any():
            break
        indices[:, place] = best.where(found, 0)[:, 0]
        counts += found[:, 0]
        box = boxes.gather(1, best[..., None].expand(-1, -1, 4))  # (N, 1, 4)
        low = torch.maximum(boxes[..., :2], box[..., :2])
        high = torch.minimum(boxes[..., 2:], box[..., 2:])
        width, height = (high - low).clamp(min=0).unbind(2)
        intersection = width * height
        iou = intersection / (area.gather(1, best) + area - intersection)
        dropped = iou > threshold
        if groups is not None:
            of_image = groups.expand(num_images, -1)
            dropped &= of_image == of_image.gather(1, best)
        remaining = remaining.masked_fill(dropped, -torch.inf).scatter(1, best, -torch.inf)
    return indices, counts


def _round_down(x: float) -> float:
    """The largest float32 that is not over `x`: what a float32 is greater than if than `x`."""
    mantissa, exponent = math.frexp(x)
    return math.ldexp(math.floor(math.ldexp(mantissa, 24)), exponent - 24)


# What torch.compile and torch.export know of the kernels

if EXTENSION_LOADED:

    @torch.library.register_fake("segsuite::batched_nms")
    def _(
        boxes: Tensor, scores: Tensor, groups: Tensor | None, iou_threshold: float, topk: int
    ) -> tuple[Tensor, Tensor]:
        num_images = boxes.shape[0]
        return (
            boxes.new_empty((num_images, topk), dtype=torch.int64),
            boxes.new_empty((num_images,), dtype=torch.int64),
        )
