"""Classes and boxes of proposals (Girshick, "Fast R-CNN", 2015)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.config import CfgNode, configurable
from segsuite.ops import batched_nms
from segsuite.structures import (
    Boxes,
    InstanceBatch,
    Instances,
    at_most,
    clip_boxes,
    first_places,
    size_tensor,
    take_places,
)

from ..box_regression import Box2BoxTransform, box_regression_loss, check_box_loss


class Detections(NamedTuple):
    """The detections of N images, best first, padded to D places with zeros.

    Attributes:
        boxes: (N, D, 4) x1, y1, x2, y2 in pixels of the network's input.
        scores: (N, D) probabilities.
        classes: (N, D) int64.
        counts: (N,) int64: the first of each image are detections.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    counts: Tensor

    def instances(
        self, image_sizes: Sequence[tuple[int, int]], **late_fields: Callable[[Tensor], Tensor]
    ) -> InstanceBatch:
        """`pred_boxes`, `scores` and `pred_classes`, and `late_fields` as in `InstanceBatch`."""
        return InstanceBatch(
            image_sizes,
            first_places(self.counts, self.scores.shape[1]),
            {"pred_boxes": self.boxes, "scores": self.scores, "pred_classes": self.classes},
            late_fields,
        )


class FastRCNNOutputLayers(nn.Module):
    """A linear layer for the classes and one for the boxes. Parameters are named as in Detectron2.

    Args:
        in_features: length of the vector of each proposal.
        num_classes: K, without background, which is class K.
        box2box_transform: of the box offsets.
        cls_agnostic_bbox_reg: one box for all classes instead of one for each.
        box_reg_loss_type, smooth_l1_beta: see `box_regression_loss`.
        box_reg_loss_weight: factor on the box loss.
        score_thresh, nms_thresh, topk: see `top_detections`.

    Attributes:
        class_layers: layers with rows for each class, see `SemSegHead`.
    """

    @configurable
    def __init__(
        self,
        *,
        in_features: int,
        num_classes: int,
        box2box_transform: Box2BoxTransform,
        cls_agnostic_bbox_reg: bool = False,
        box_reg_loss_type: str = "smooth_l1",
        smooth_l1_beta: float = 0.0,
        box_reg_loss_weight: float = 1.0,
        score_thresh: float = 0.0,
        nms_thresh: float = 0.5,
        topk: int = 100,
    ):
        super().__init__()
        check_box_loss(box_reg_loss_type, "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE")
        self.num_classes = num_classes
        self.box2box_transform = box2box_transform
        self.box_reg_loss_type = box_reg_loss_type
        self.smooth_l1_beta = smooth_l1_beta
        self.box_reg_loss_weight = box_reg_loss_weight
        self.score_thresh = score_thresh
        self.nms_thresh = nms_thresh
        self.topk = topk
        self.cls_score = nn.Linear(in_features, num_classes + 1)
        self.bbox_pred = nn.Linear(in_features, 4 if cls_agnostic_bbox_reg else 4 * num_classes)
        self.class_layers = ["cls_score"] if cls_agnostic_bbox_reg else ["cls_score", "bbox_pred"]
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.bbox_pred.weight, std=0.001)
        for layer in (self.cls_score, self.bbox_pred):
            nn.init.zeros_(layer.bias)

    @classmethod
    def from_config(cls, cfg: CfgNode, in_features: int) -> dict:
        c = cfg.MODEL.ROI_BOX_HEAD
        return {
            "in_features": in_features,
            "num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            "box2box_transform": Box2BoxTransform(c.BBOX_REG_WEIGHTS),
            "cls_agnostic_bbox_reg": c.CLS_AGNOSTIC_BBOX_REG,
            "box_reg_loss_type": c.BBOX_REG_LOSS_TYPE,
            "smooth_l1_beta": c.SMOOTH_L1_BETA,
            "box_reg_loss_weight": c.BBOX_REG_LOSS_WEIGHT,
            "score_thresh": cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST,
            "nms_thresh": cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST,
            "topk": cfg.TEST.DETECTIONS_PER_IMAGE,
        }

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(R, in_features) -> (R, K + 1) logits, background last, and (R, 4 * K) box offsets, or
        (R, 4); float32 under autocast."""
        return self.cls_score(x).float(), self.bbox_pred(x).float()

    def losses(
        self, logits: Tensor, deltas: Tensor, proposals: Sequence[Instances]
    ) -> dict[str, Tensor]:
        """Cross entropy of the classes and the box loss of the foreground, over all proposals.

        Args:
            logits, deltas: see `forward`, of the proposals of all images, in an `InstanceBatch` of
                all places.
            proposals: of each image `proposal_boxes`, `gt_classes` and `gt_boxes`. Those of class
                -1 do not count.

        Returns:
            Scalars "loss_cls" and "loss_box_reg"; 0, with a gradient, for no proposals.
        """
        classes = _joined(proposals, "gt_classes")
        count = (classes >= 0).sum().clamp(min=1)
        cls_loss = F.cross_entropy(logits, classes, ignore_index=-1, reduction="sum") / count
        foreground = (classes >= 0) & (classes < self.num_classes)
        box_loss = box_regression_loss(
            _deltas_of_class(deltas, classes.clamp(0, self.num_classes - 1)),
            _joined(proposals, "proposal_boxes"),
            _joined(proposals, "gt_boxes"),
            self.box2box_transform,
            self.box_reg_loss_type,
            self.smooth_l1_beta,
            foreground,
        )
        return {
            "loss_cls": cls_loss,
            "loss_box_reg": self.box_reg_loss_weight * box_loss / count,
        }

    def inference(
        self, logits: Tensor, deltas: Tensor, proposals: Sequence[Instances]
    ) -> list[Instances]:
        """The detections of each image, see `fast_rcnn_inference`.

        Args:
            logits, deltas: see `forward`, of the proposals of all images.
            proposals: of each image `proposal_boxes`.
        """
        counts = [len(p) for p in proposals]
        parts = zip(proposals, deltas.split(counts), logits.softmax(-1).split(counts), strict=True)
        return [
            fast_rcnn_inference(
                p.proposal_boxes.tensor,
                of_image,
                probabilities,
                self.box2box_transform,
                p.image_size,
                score_thresh=self.score_thresh,
                nms_thresh=self.nms_thresh,
                topk=self.topk,
            )
            for p, of_image, probabilities in parts
        ]

    def detections(
        self,
        probabilities: Tensor,
        deltas: Tensor,
        boxes: Tensor,
        valid: Tensor,
        image_sizes: Tensor,
    ) -> Detections:
        """`top_detections` from the probabilities (N * R, K + 1) of the classes and the offsets
        (N * R, 4 * K) or (N * R, 4) of the proposals' boxes (N, R, 4)."""
        return top_detections(
            boxes,
            deltas.unflatten(0, boxes.shape[:2]),
            probabilities.unflatten(0, boxes.shape[:2]),
            valid,
            self.box2box_transform,
            image_sizes,
            score_thresh=self.score_thresh,
            nms_thresh=self.nms_thresh,
            topk=self.topk,
        )

    def predict_boxes(self, deltas: Tensor, boxes: Tensor, classes: Tensor) -> Tensor:
        """(R, 4) boxes that the offsets make of proposals (R, 4) for their classes (R,) int64; the
        class of a background proposal does not matter."""
        of_class = _deltas_of_class(deltas, classes.clamp(0, self.num_classes - 1))
        return self.box2box_transform.apply_deltas(of_class, boxes)


def top_detections(
    boxes: Tensor,
    deltas: Tensor,
    probabilities: Tensor,
    valid: Tensor,
    transform: Box2BoxTransform,
    image_sizes: Tensor,
    *,
    score_thresh: float,
    nms_thresh: float,
    topk: int,
) -> Detections:
    """The detections of N images.

    Args:
        boxes: (N, R, 4) proposals, x1, y1, x2, y2 in pixels.
        deltas: (N, R, 4 * K) offsets for each class, or (N, R, 4) for all.
        probabilities: (N, R, K + 1), background last.
        valid: (N, R) bool: which proposals are there. Those with a score or offset that is not
            finite are dropped.
        transform: of the offsets.
        image_sizes: (N, 2) height and width, to which boxes are clipped.
        score_thresh: only what is more probable is a detection.
        nms_thresh: the IoU above which the worse of two boxes of one class is dropped.
        topk: the most that are kept of an image.
    """
    scores = probabilities[..., :-1]
    num_proposals, num_classes = scores.shape[1:]
    usable = valid & deltas.isfinite().all(dim=2) & probabilities.isfinite().all(dim=2)
    # A candidate is a proposal as one class: (N, R * K).
    scores = scores.masked_fill(~(usable[..., None] & (scores > score_thresh)), -torch.inf)
    scores = scores.flatten(1)
    candidates = transform.apply_deltas(deltas, boxes).unflatten(2, (-1, 4))
    candidates = clip_boxes(candidates.expand(-1, -1, num_classes, -1).flatten(1, 2), image_sizes)
    classes = torch.arange(num_classes, device=boxes.device).repeat(num_proposals)
    topk = at_most(topk, scores.shape[1])
    index, counts = batched_nms(candidates, scores, classes, nms_thresh, topk)
    missing = ~first_places(counts, topk)
    return Detections(
        take_places(candidates, index).masked_fill(missing[..., None], 0),
        take_places(scores, index).masked_fill(missing, 0),
        classes[index].masked_fill(missing, 0),
        counts,
    )


def fast_rcnn_inference(
    boxes: Tensor,
    deltas: Tensor,
    probabilities: Tensor,
    transform: Box2BoxTransform,
    image_size: tuple[int, int],
    *,
    score_thresh: float,
    nms_thresh: float,
    topk: int,
) -> Instances:
    """`top_detections` of one image of size (height, width), without the axis of images.

    Returns:
        `pred_boxes`, `scores` and `pred_classes` (int64), best first.
    """
    found = top_detections(
        boxes[None],
        deltas[None],
        probabilities[None],
        boxes.new_ones(1, len(boxes), dtype=torch.bool),
        transform,
        size_tensor([image_size], boxes.device),
        score_thresh=score_thresh,
        nms_thresh=nms_thresh,
        topk=topk,
    )
    return found.instances([image_size])[0]


def _deltas_of_class(deltas: Tensor, classes: Tensor) -> Tensor:
    """(R, 4) out of (R, 4 * K), or (R, 4) as they are."""
    if deltas.shape[1] == 4:
        return deltas
    return deltas.unflatten(1, (-1, 4)).take_along_dim(classes[:, None, None], 1)[:, 0]


def _joined(instances: Sequence[Instances], name: str) -> Tensor:
    """(R, ...) a field of the instances of all images, of an `InstanceBatch` in all places."""
    if isinstance(instances, InstanceBatch):
        return instances.fields[name].flatten(0, 1)
    values = [x.get(name) for x in instances]
    return torch.cat([v.tensor if isinstance(v, Boxes) else v for v in values])
