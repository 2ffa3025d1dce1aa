"""Boxes as offsets from reference boxes, and the losses of such offsets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.errors import UnknownNameError
from segsuite.utils.registry import unknown_name

_IOU_LOSSES = ("giou", "diou", "ciou")
_EPSILON = 1e-7  # torchvision's and fvcore's
# exp() of more than this would make boxes 62.5 times as large as their reference.
_SCALE_CLAMP = math.log(1000.0 / 16)


class Box2BoxTransform:
    """The offsets of R-CNN (Girshick et al. 2014, appendix C).

    A box with centre (x, y), width w and height h, seen from a reference box (rx, ry, rw, rh), is
    ``((x - rx) / rw, (y - ry) / rh, log(w / rw), log(h / rh))``, times `weights`.

    Args:
        weights: (wx, wy, ww, wh), which bring the offsets to a variance of about 1.
        scale_clamp: larger log scales are cut to it when offsets are applied.
    """

    def __init__(self, weights: Sequence[float], scale_clamp: float = _SCALE_CLAMP):
        self.weights = tuple(weights)
        self.scale_clamp = scale_clamp

    def get_deltas(self, references: Tensor, boxes: Tensor) -> Tensor:
        """(..., 4) references and boxes, x1, y1, x2, y2 -> (..., 4) offsets."""
        x, y, width, height = _centres_and_sizes(boxes)
        rx, ry, rwidth, rheight = _centres_and_sizes(references)
        deltas = (
            (x - rx) / rwidth,
            (y - ry) / rheight,
            (width / rwidth).log(),
            (height / rheight).log(),
        )
        return torch.stack([d * w for d, w in zip(deltas, self.weights, strict=True)], dim=-1)

    def apply_deltas(self, deltas: Tensor, references: Tensor) -> Tensor:
        """The boxes that offsets stand for; the inverse of `get_deltas`.

        Args:
            deltas: (..., 4 * K) offsets of K boxes from each reference.
            references: (..., 4).

        Returns:
            (..., 4 * K) boxes, float32 or wider.
        """
        deltas = deltas.float() if deltas.dtype in (torch.float16, torch.bfloat16) else deltas
        x, y, width, height = _centres_and_sizes(references.to(deltas.dtype).unsqueeze(-2))
        parts = deltas.unflatten(-1, (-1, 4)).unbind(-1)
        dx, dy, dw, dh = (d / w for d, w in zip(parts, self.weights, strict=True))
        x, y = dx * width + x, dy * height + y
        half_width = 0.5 * dw.clamp(max=self.scale_clamp).exp() * width
        half_height = 0.5 * dh.clamp(max=self.scale_clamp).exp() * height
        corners = x - half_width, y - half_height, x + half_width, y + half_height
        return torch.stack(corners, dim=-1).flatten(-2)


def _centres_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(-1)
    width, height = x2 - x1, y2 - y1
    return x1 + 0.5 * width, y1 + 0.5 * height, width, height


def check_box_loss(loss_type: str, key: str) -> None:
    """Raise KeyError, naming the configuration's `key`, unless `box_regression_loss` has it."""
    if loss_type not in ("smooth_l1", *_IOU_LOSSES):
        raise UnknownNameError(
            unknown_name(loss_type, ["smooth_l1", *_IOU_LOSSES], f"box losses ({key})")
        )


def box_regression_loss(
    deltas: Tensor,
    references: Tensor,
    targets: Tensor,
    transform: Box2BoxTransform,
    loss_type: str,
    smooth_l1_beta: float = 0.0,
    valid: Tensor | None = None,
) -> Tensor:
    """The loss of predicted offsets, summed over the boxes.

    Args:
        deltas: (..., 4) predicted offsets from
        references: (..., 4) boxes, for
        targets: (..., 4) boxes.
        loss_type: "smooth_l1" on the offsets (Girshick 2015), or on the boxes "giou" (Rezatofighi
            et al. 2019), "diou" or "ciou" (Zheng et al. 2020).
        smooth_l1_beta: where the smooth L1 loss turns from quadratic to linear; 0 for L1.
        valid: (...) bool: the others have no loss and no gradient, whatever their boxes are.

    Returns:
        A scalar; 0, with a gradient, for no boxes.
    """
    if valid is not None:
        missing = ~valid[..., None]
        deltas = deltas.masked_fill(missing, 0)
        references, targets = (
            _unit_boxes_where(missing, references),
            _unit_boxes_where(missing, targets),
        )
    if loss_type == "smooth_l1":
        wanted = transform.get_deltas(references, targets)
        if smooth_l1_beta == 0:
            return F.l1_loss(deltas, wanted, reduction="sum")
        return F.smooth_l1_loss(deltas, wanted, reduction="sum", beta=smooth_l1_beta)
    losses = _iou_losses(transform.apply_deltas(deltas, references), targets, loss_type)
    return losses.sum() if valid is None else losses.masked_fill(~valid, 0).sum()


def _iou_losses(boxes: Tensor, targets: Tensor, loss_type: str) -> Tensor:
    """(...) of (..., 4) boxes and (..., 4) targets. torchvision has these losses too, but waits for
    the device in them."""
    low, high = boxes.split(2, dim=-1)
    target_low, target_high = targets.split(2, dim=-1)
    size, target_size = high - low, target_high - target_low
    common = torch.minimum(high, target_high) - torch.maximum(low, target_low)
    intersection = torch.where((common > 0).all(dim=-1), _area(common), 0)
    union = _area(size) + _area(target_size) - intersection
    iou = intersection / (union + _EPSILON)
    # Of the smallest box around both.
    around = torch.maximum(high, target_high) - torch.minimum(low, target_low)
    if loss_type == "giou":
        area = _area(around)
        return 1 - iou + (area - union) / (area + _EPSILON)
    distance = ((low + high - target_low - target_high) / 2).square().sum(dim=-1)
    losses = 1 - iou + distance / (around.square().sum(dim=-1) + _EPSILON)
    if loss_type == "diou":
        return losses
    angle = torch.atan(size[..., 0] / size[..., 1])
    target_angle = torch.atan(target_size[..., 0] / target_size[..., 1])
    aspect = 4 / math.pi**2 * (target_angle - angle).square()
    with torch.no_grad():
        weight = aspect / (1 - iou + aspect + _EPSILON)
    return losses + weight * aspect


def _area(size: Tensor) -> Tensor:
    """(...) of (..., 2) width and height. (`prod` waits for the device in its gradient.)"""
    return size[..., 0] * size[..., 1]


def _unit_boxes_where(missing: Tensor, boxes: Tensor) -> Tensor:
    """Boxes (..., 4), and 0, 0, 1, 1 where (..., 1) `missing` is True, from which the offsets to
    themselves are 0."""
    low, high = boxes.masked_fill(missing, 0).split(2, dim=-1)
    return torch.cat([low, high + missing], dim=-1)
