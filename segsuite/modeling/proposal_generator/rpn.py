"""`RPN`: the region proposal network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import UnknownNameError
from segsuite.layers import ShapeSpec
from segsuite.structures import (
    ImageList,
    InstanceBatch,
    Instances,
    first_places,
    iou_matrix,
    size_tensor,
    take_places,
)
from segsuite.utils.registry import unknown_name

from ..anchor_generator import build_anchor_generator
from ..box_regression import Box2BoxTransform, box_regression_loss, check_box_loss
from ..matcher import Matcher
from ..sampling import LabelSample, sample_labels
from .build import PROPOSAL_GENERATOR_REGISTRY
from .proposals import top_proposals
from .rpn_head import build_rpn_head

# IoUs of objects and anchors that are held at a time.
_MAX_IOUS = 1 << 24


@PROPOSAL_GENERATOR_REGISTRY.register()
class RPN(nn.Module):
    """Scores anchors and moves them to objects (Ren et al., "Faster R-CNN", 2015).

    Args:
        in_features: names of the features that have anchors.
        head: gives scores and offsets for the features, see `StandardRPNHead`.
        anchor_generator: gives the anchors of the features, see `DefaultAnchorGenerator`.
        anchor_matcher: labels anchors by their IoU with the objects.
        box2box_transform: of the offsets.
        batch_size_per_image: anchors of an image that are trained,
        positive_fraction: and the largest share of foreground among them.
        pre_nms_topk, post_nms_topk: (in training, in evaluation): the best proposals of each level
            that are looked at, and of all levels that are kept.
        nms_thresh: see `top_proposals`.
        min_box_size: in pixels, see `top_proposals`.
        anchor_boundary_thresh: anchors that reach out of the image by this many pixels or more are
            not trained; negative: all are.
        loss_weight: of both losses.
        box_reg_loss_weight: of the box loss, on top of it.
        box_reg_loss_type, smooth_l1_beta: see `box_regression_loss`.
    """

    # See `SemanticSegmentor`.
    graph_methods = ("predict",)

    @configurable
    def __init__(
        self,
        *,
        in_features: Sequence[str],
        head: nn.Module,
        anchor_generator: nn.Module,
        anchor_matcher: Matcher,
        box2box_transform: Box2BoxTransform,
        batch_size_per_image: int = 256,
        positive_fraction: float = 0.5,
        pre_nms_topk: tuple[int, int] = (12000, 6000),
        post_nms_topk: tuple[int, int] = (2000, 1000),
        nms_thresh: float = 0.7,
        min_box_size: float = 0.0,
        anchor_boundary_thresh: float = -1.0,
        loss_weight: float = 1.0,
        box_reg_loss_weight: float = 1.0,
        box_reg_loss_type: str = "smooth_l1",
        smooth_l1_beta: float = 0.0,
    ):
        super().__init__()
        check_box_loss(box_reg_loss_type, "MODEL.RPN.BBOX_REG_LOSS_TYPE")
        self.in_features = list(in_features)
        self.rpn_head = head
        self.anchor_generator = anchor_generator
        self.anchor_matcher = anchor_matcher
        self.box2box_transform = box2box_transform
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction
        self.pre_nms_topk = {True: pre_nms_topk[0], False: pre_nms_topk[1]}
        self.post_nms_topk = {True: post_nms_topk[0], False: post_nms_topk[1]}
        self.nms_thresh = nms_thresh
        self.min_box_size = float(min_box_size)
        self.anchor_boundary_thresh = anchor_boundary_thresh
        self.loss_weight = {
            "loss_rpn_cls": loss_weight,
            "loss_rpn_loc": loss_weight * box_reg_loss_weight,
        }
        self.box_reg_loss_type = box_reg_loss_type
        self.smooth_l1_beta = smooth_l1_beta

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.RPN
        for name in c.IN_FEATURES:
            if name not in input_shape:
                where = "backbone's features (MODEL.RPN.IN_FEATURES)"
                raise UnknownNameError(unknown_name(name, input_shape, where))
        shapes = [input_shape[name] for name in c.IN_FEATURES]
        return {
            "in_features": c.IN_FEATURES,
            "head": build_rpn_head(cfg, shapes),
            "anchor_generator": build_anchor_generator(cfg, shapes),
            "anchor_matcher": Matcher(
                c.IOU_THRESHOLDS, c.IOU_LABELS, allow_low_quality_matches=True
            ),
            "box2box_transform": Box2BoxTransform(c.BBOX_REG_WEIGHTS),
            "batch_size_per_image": c.BATCH_SIZE_PER_IMAGE,
            "positive_fraction": c.POSITIVE_FRACTION,
            "pre_nms_topk": (c.PRE_NMS_TOPK_TRAIN, c.PRE_NMS_TOPK_TEST),
            "post_nms_topk": (c.POST_NMS_TOPK_TRAIN, c.POST_NMS_TOPK_TEST),
            "nms_thresh": c.NMS_THRESH,
            "min_box_size": cfg.MODEL.PROPOSAL_GENERATOR.MIN_SIZE,
            "anchor_boundary_thresh": c.BOUNDARY_THRESH,
            "loss_weight": c.LOSS_WEIGHT,
            "box_reg_loss_weight": c.BBOX_REG_LOSS_WEIGHT,
            "box_reg_loss_type": c.BBOX_REG_LOSS_TYPE,
            "smooth_l1_beta": c.SMOOTH_L1_BETA,
        }

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        gt_instances: Sequence[Instances] | None = None,
    ) -> tuple[Sequence[Instances], dict[str, Tensor]]:
        """Propose boxes.

        Args:
            features: of the N images.
            gt_instances: for each image `gt_boxes`; for the losses.

        Returns:
            For each image `proposal_boxes` and `objectness_logits`, best first, without gradient
            (an `InstanceBatch`); and the losses, none where there is no `gt_instances`.
        """
        anchors, logits, deltas = self.predict(features)
        losses = {}
        if gt_instances is not None:
            losses = self.losses(
                torch.cat(anchors),
                torch.cat(logits, dim=1),
                torch.cat(deltas, dim=1),
                gt_instances,
            )
        sizes = size_tensor(images.image_sizes, anchors[0].device)
        most = self.pre_nms_topk[self.training]
        levels = [min(len(a), most) for a in anchors]
        boxes, scores, counts = self.top_proposals(anchors, logits, deltas, sizes, levels)
        proposals = InstanceBatch(
            images.image_sizes,
            first_places(counts, boxes.shape[1]),
            {"proposal_boxes": boxes, "objectness_logits": scores},
        )
        return proposals.trimmed(), losses

    def propose(
        self, features: dict[str, Tensor], image_sizes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The proposals as tensors whose shapes depend on no value, which `torch.export` can trace.

        Args:
            features: of the N images.
            image_sizes: (N, 2) their height and width, without padding.

        Returns:
            Boxes (N, P, 4), logits (N, P) and counts (N,), see `top_proposals`.
        """
        # With as many more that lose, each level has enough for a number that is always the same.
        count = self.pre_nms_topk[self.training]
        padded = [
            (
                F.pad(a, (0, 0, 0, count)),
                F.pad(x, (0, count), value=-torch.inf),
                F.pad(d, (0, 0, 0, count)),
            )
            for a, x, d in zip(*self.predict(features), strict=True)
        ]
        anchors, logits, deltas = zip(*padded, strict=True)
        return self.top_proposals(anchors, logits, deltas, image_sizes, [count] * len(padded))

    def predict(
        self, features: dict[str, Tensor]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Of each level the anchors (K, 4), logits (N, K) and offsets (N, K, 4), K = H * W * A;
        float32 under autocast."""
        maps = [features[name] for name in self.in_features]
        logit_maps, delta_maps = self.rpn_head(maps)
        anchors = [boxes.tensor for boxes in self.anchor_generator(maps)]
        logits = [x.permute(0, 2, 3, 1).flatten(1).float() for x in logit_maps]
        deltas = [x.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)) for x in delta_maps]
        return anchors, logits, [x.float() for x in deltas]

    @torch.no_grad()
    def top_proposals(
        self,
        anchors: Sequence[Tensor],
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        image_sizes: Tensor,
        counts: Sequence[int],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best of what `predict` returns, of each level so many, see `propose`."""
        boxes, scores, levels = [], [], []
        predicted = zip(anchors, logits, deltas, counts, strict=True)
        for level, (a, logit, delta, count) in enumerate(predicted):
            top, index = logit.topk(count, dim=1)
            delta = take_places(delta, index)
            boxes.append(self.box2box_transform.apply_deltas(delta, a[index]))
            scores.append(top)
            levels.append(index.new_full((count,), level))
        return top_proposals(
            torch.cat(boxes, dim=1),
            torch.cat(scores, dim=1),
            torch.cat(levels),
            image_sizes,
            nms_thresh=self.nms_thresh,
            topk=self.post_nms_topk[self.training],
            min_box_size=self.min_box_size,
        )

    @torch.no_grad()
    def label_and_sample_anchors(
        self, anchors: Tensor, objects: InstanceBatch
    ) -> tuple[LabelSample, Tensor]:
        """Which anchors are trained, and on what.

        Args:
            anchors: (K, 4), of all levels.
            objects: `gt_boxes` of N images.

        Returns:
            The sample, and (N, K) int64 the object that each anchor is matched with.
        """
        boxes = objects.fields["gt_boxes"]
        # As many images at once as there is room for.
        step = max(_MAX_IOUS // (boxes.shape[1] * len(anchors)), 1)
        matched = [self.anchor_matcher(iou_matrix(b, anchors)) for b in boxes.split(step)]
        matches, labels = (torch.cat(parts) for parts in zip(*matched, strict=True))
        labels = labels.masked_fill(
            ~objects.valid.any(1, keepdim=True), self.anchor_matcher.labels[0]
        )
        if self.anchor_boundary_thresh >= 0:
            inside = _inside(anchors, objects.sizes, self.anchor_boundary_thresh)
            labels = labels.masked_fill(~inside, -1)
        sample = sample_labels(labels, self.batch_size_per_image, self.positive_fraction, 0)
        return sample, matches

    def losses(
        self,
        anchors: Tensor,
        logits: Tensor,
        deltas: Tensor,
        gt_instances: Sequence[Instances],
    ) -> dict[str, Tensor]:
        """Binary cross entropy of the sampled anchors and the box loss of the foreground.

        Both are divided by the number of anchors that are asked for, ``N * batch_size_per_image``.

        Args:
            anchors: (K, 4), of all levels; logits: (N, K); deltas: (N, K, 4).

        Returns:
            Scalars "loss_rpn_cls" and "loss_rpn_loc".
        """
        objects = InstanceBatch.of(gt_instances, "gt_boxes")
        sample, matches = self.label_and_sample_anchors(anchors, objects)
        cls_loss = F.binary_cross_entropy_with_logits(
            logits.gather(1, sample.indices),
            sample.foreground.to(logits.dtype),
            weight=sample.valid.to(logits.dtype),
            reduction="sum",
        )
        # Only the first places can be foreground.
        most = int(self.batch_size_per_image * self.positive_fraction)
        index, foreground = sample.indices[:, :most], sample.foreground[:, :most]
        loc_loss = box_regression_loss(
            take_places(deltas, index),
            anchors[index],
            take_places(objects.fields["gt_boxes"], matches.gather(1, index)),
            self.box2box_transform,
            self.box_reg_loss_type,
            self.smooth_l1_beta,
            foreground,
        )
        normalizer = self.batch_size_per_image * len(gt_instances)
        losses = {"loss_rpn_cls": cls_loss / normalizer, "loss_rpn_loc": loc_loss / normalizer}
        return {name: loss * self.loss_weight[name] for name, loss in losses.items()}


def _inside(boxes: Tensor, image_sizes: Tensor, margin: float) -> Tensor:
    """(N, K) bool: which of (K, 4) boxes lie in each of N images, whose sizes are (N, 2)."""
    height, width = image_sizes[..., None].unbind(1)
    x1, y1, x2, y2 = boxes.unbind(1)
    return (x1 >= -margin) & (y1 >= -margin) & (x2 < width + margin) & (y2 < height + margin)
