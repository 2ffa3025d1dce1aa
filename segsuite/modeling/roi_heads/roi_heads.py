"""`ROIHeads`: what all second stages do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segsuite.config import CfgNode
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.layers import ShapeSpec
from segsuite.ops.rois import boxes_to_rois
from segsuite.structures import Boxes, ImageList, InstanceBatch, Instances, pairwise_iou
from segsuite.utils.registry import unknown_name

from ..matcher import Matcher
from ..proposal_generator import add_ground_truth_to_proposals
from ..sampling import subsample_labels
from .fast_rcnn import Detections
from .mask_head import MaskHead


class ROIHeads(nn.Module, ABC):
    """Labels and samples proposals for training; a subclass classifies and refines them.

    Args:
        in_features: names of the features that RoIs are pooled from.
        num_classes: K, without background, which is class K.
        batch_size_per_image: proposals of an image that are trained,
        positive_fraction: and the largest share of foreground among them.
        proposal_matcher: labels proposals by their IoU with the objects.
        proposal_append_gt: train on the ground-truth boxes too.

    Attributes:
        mask_head: None: no masks are predicted.
    """

    def __init__(
        self,
        *,
        in_features: Sequence[str],
        num_classes: int,
        batch_size_per_image: int = 512,
        positive_fraction: float = 0.25,
        proposal_matcher: Matcher,
        proposal_append_gt: bool = True,
    ):
        super().__init__()
        self.in_features = list(in_features)
        self.num_classes = num_classes
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction
        self.proposal_matcher = proposal_matcher
        self.proposal_append_gt = proposal_append_gt
        self.mask_head: MaskHead | None = None

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.ROI_HEADS
        return {
            "in_features": c.IN_FEATURES,
            "num_classes": c.NUM_CLASSES,
            "batch_size_per_image": c.BATCH_SIZE_PER_IMAGE,
            "positive_fraction": c.POSITIVE_FRACTION,
            "proposal_matcher": Matcher(c.IOU_THRESHOLDS, c.IOU_LABELS),
            "proposal_append_gt": c.PROPOSAL_APPEND_GT,
        }

    @abstractmethod
    def losses(
        self,
        features: dict[str, Tensor],
        proposals: Sequence[Instances],
        targets: Sequence[Instances],
    ) -> dict[str, Tensor]:
        """Losses by name.

        Args:
            features: of the N images.
            proposals: for each image what `label_and_sample_proposals` returns.
            targets: for each image `gt_boxes`, `gt_classes` and, for masks, `gt_masks`.
        """

    def detect(
        self, features: dict[str, Tensor], boxes: Tensor, valid: Tensor, image_sizes: Tensor
    ) -> Detections:
        """The detections without their masks, as tensors whose shapes depend on no value, which
        `torch.export` can trace. What `inference` is made of, unless a subclass has its own.

        Args:
            features: of the N images.
            boxes: (N, P, 4) proposals, x1, y1, x2, y2 in pixels of the padded images.
            valid: (N, P) bool: which of them are there.
            image_sizes: (N, 2) height and width of the images, without padding.
        """
        raise NotImplementedError(f"{type(self).__name__} have neither `detect` nor `inference`")

    def masks(self, features: dict[str, Tensor], rois: Tensor, classes: Tensor) -> Tensor:
        """Mask probabilities (R, M, M) in RoIs (R, 5) of classes (R,) int64, see `mask_head`. What
        `forward_with_given_boxes` is made of, unless a subclass has its own."""
        raise NotImplementedError(
            f"{type(self).__name__} have neither `masks` nor `forward_with_given_boxes`"
        )

    def inference(
        self, features: dict[str, Tensor], proposals: Sequence[Instances]
    ) -> Sequence[Instances]:
        """For each image its detections `pred_boxes`, `scores`, `pred_classes` and, if there is a
        mask head, `pred_masks`, see `forward_with_given_boxes`: an `InstanceBatch`."""
        batch = InstanceBatch.of(proposals, "proposal_boxes")
        boxes = batch.fields["proposal_boxes"]
        found = self.detect(features, boxes, batch.valid, batch.sizes)
        if self.mask_head is None:
            return found.instances(batch.image_sizes)
        rois, classes = boxes_to_rois(found.boxes), found.classes.flatten()
        return found.instances(
            batch.image_sizes, pred_masks=lambda i: self.masks(features, rois[i], classes[i])
        )

    def forward_with_given_boxes(
        self, features: dict[str, Tensor], instances: Sequence[Instances]
    ) -> list[Instances]:
        """Add `pred_masks` to the instances of each image, which have `pred_boxes` and
        `pred_classes`: (R, M, M) probabilities within the boxes."""
        if self.mask_head is not None:
            rois = boxes_to_rois([x.pred_boxes.tensor for x in instances])
            classes = torch.cat([x.pred_classes for x in instances])
            masks = self.masks(features, rois, classes).split([len(x) for x in instances])
            for of_image, of_masks in zip(instances, masks, strict=True):
                of_image.pred_masks = of_masks
        return list(instances)

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: Sequence[Instances],
        targets: Sequence[Instances] | None = None,
    ) -> tuple[Sequence[Instances], dict[str, Tensor]]:
        """With targets, the proposals that were trained and the losses; without, the detections of
        each image and no losses."""
        if targets is None:
            return self.inference(features, proposals), {}
        sampled = self.label_and_sample_proposals(proposals, targets)
        return sampled, self.losses(features, sampled, targets)

    @torch.no_grad()
    def label_and_sample_proposals(
        self, proposals: Sequence[Instances], targets: Sequence[Instances]
    ) -> list[Instances]:
        """Give proposals their objects and draw those that are trained.

        Args:
            proposals: for each image `proposal_boxes` and `objectness_logits`.
            targets: for each image `gt_boxes` and `gt_classes`.

        Returns:
            For each image a sample of the proposals, foreground first, with what
            `match_with_objects` adds to them.
        """
        if self.proposal_append_gt:
            boxes = [x.gt_boxes for x in targets]
            proposals = add_ground_truth_to_proposals(boxes, proposals)
        results = []
        for of_image, objects in zip(proposals, targets, strict=True):
            labelled = match_with_objects(
                of_image, objects, self.proposal_matcher, self.num_classes
            )
            chosen = torch.cat(
                subsample_labels(
                    labelled.gt_classes,
                    self.batch_size_per_image,
                    self.positive_fraction,
                    self.num_classes,
                )
            )
            results.append(labelled[chosen])
        return results


def match_with_objects(
    proposals: Instances, objects: Instances, matcher: Matcher, num_classes: int
) -> Instances:
    """The proposals with the number `gt_matches` of the objects that fit them best, and the
    `gt_classes` and `gt_boxes` of these.

    Background has class `num_classes`, ignored proposals -1; without objects all boxes are zeros.
    """
    matches, labels = matcher(pairwise_iou(objects.gt_boxes, proposals.proposal_boxes))
    if len(objects):
        classes, boxes = objects.gt_classes[matches], objects.gt_boxes[matches]
    else:
        classes, boxes = matches, Boxes(torch.zeros_like(proposals.proposal_boxes.tensor))
    classes = torch.where(labels == 0, num_classes, classes)
    classes = torch.where(labels == -1, -1, classes)
    labelled = Instances(proposals.image_size, **proposals.get_fields())
    labelled.gt_classes, labelled.gt_boxes, labelled.gt_matches = classes, boxes, matches
    return labelled


def foreground_indices(classes: Tensor, num_classes: int) -> Tensor:
    """Which of (R,) classes are objects: neither background nor ignored. (F,) int64."""
    return ((classes >= 0) & (classes < num_classes)).nonzero()[:, 0]


def select_foreground_proposals(
    proposals: Sequence[Instances], targets: Sequence[Instances], num_classes: int
) -> list[Instances]:
    """Of each image the proposals of objects, with the `gt_masks` of these."""
    selected = []
    for of_image, objects in zip(proposals, targets, strict=True):
        foreground = of_image[foreground_indices(of_image.gt_classes, num_classes)]
        foreground.gt_masks = objects.gt_masks[foreground.gt_matches]
        selected.append(foreground)
    return selected


def feature_shapes(names: Sequence[str], input_shape: dict[str, ShapeSpec]) -> list[ShapeSpec]:
    """The shapes of the features `names`, which have one number of channels.

    Raises:
        UnknownNameError: there is no such feature.
        ConfigError: the numbers of channels differ.
    """
    for name in names:
        if name not in input_shape:
            where = "backbone's features (MODEL.ROI_HEADS.IN_FEATURES)"
            raise UnknownNameError(unknown_name(name, input_shape, where))
    shapes = [input_shape[name] for name in names]
    if len({shape.channels for shape in shapes}) != 1:
        raise ConfigError(
            f"MODEL.ROI_HEADS.IN_FEATURES {list(names)} have {[s.channels for s in shapes]} "
            "channels; RoIs are pooled from features of one width"
        )
    return shapes
