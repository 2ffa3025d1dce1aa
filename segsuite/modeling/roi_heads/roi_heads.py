"""`ROIHeads`: what all second stages do."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segsuite.config import CfgNode
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.layers import ShapeSpec
from segsuite.ops.rois import boxes_to_rois
from segsuite.structures import ImageList, InstanceBatch, Instances, iou_matrix, take_places
from segsuite.utils.registry import unknown_name

from ..matcher import Matcher
from ..sampling import sample_labels
from .fast_rcnn import Detections
from .mask_head import MaskHead

# The score of a proposal that is certain: the logit of a probability of 1 - 1e-10.
_CERTAIN = math.log((1.0 - 1e-10) / (1 - (1.0 - 1e-10)))


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
        if type(self).forward_with_given_boxes is not ROIHeads.forward_with_given_boxes:
            # A subclass adds what it has of its own to `Instances`.
            return self.forward_with_given_boxes(features, found.instances(batch.image_sizes))
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
    ) -> InstanceBatch:
        """Give proposals their objects and draw those that are trained.

        Args:
            proposals: for each image `proposal_boxes` and `objectness_logits`.
            targets: for each image `gt_boxes` and `gt_classes`.

        Returns:
            For each image a sample of the proposals, foreground first, with what
            `match_with_objects` gives for them.
        """
        batch = InstanceBatch.of(proposals, "proposal_boxes", "objectness_logits")
        objects = InstanceBatch.of(targets, "gt_boxes", "gt_classes")
        fields, valid = dict(batch.fields), batch.valid
        if self.proposal_append_gt:
            boxes = objects.fields["gt_boxes"]
            logits = boxes.new_full(boxes.shape[:2], _CERTAIN)
            truth = {"proposal_boxes": boxes, "objectness_logits": logits}
            fields = {name: torch.cat([fields[name], truth[name]], dim=1) for name in truth}
            valid = torch.cat([valid, objects.valid], dim=1)
        boxes = fields["proposal_boxes"]
        fields |= match_with_objects(boxes, valid, objects, self.proposal_matcher, self.num_classes)
        sample = sample_labels(
            fields["gt_classes"],
            self.batch_size_per_image,
            self.positive_fraction,
            self.num_classes,
        )
        fields = {name: take_places(field, sample.indices) for name, field in fields.items()}
        fields["gt_classes"] = fields["gt_classes"].masked_fill(~sample.valid, -1)
        return InstanceBatch(batch.image_sizes, sample.valid, fields).trimmed()


def match_with_objects(
    boxes: Tensor, valid: Tensor, objects: InstanceBatch, matcher: Matcher, num_classes: int
) -> dict[str, Tensor]:
    """Which objects proposals fit best.

    Args:
        boxes: (N, P, 4) proposals, of which (N, P) bool are `valid`.
        objects: of the N images `gt_boxes` and `gt_classes`.

    Returns:
        `gt_matches` (N, P) int64, the numbers of the objects, and their `gt_boxes` (N, P, 4) and
        `gt_classes` (N, P) int64. Background has class `num_classes`, ignored proposals and those
        that are not valid -1; without objects all boxes are zeros.
    """
    matches, labels = matcher(iou_matrix(objects.fields["gt_boxes"], boxes))
    labels = labels.masked_fill(~objects.valid.any(dim=1, keepdim=True), matcher.labels[0])
    classes = objects.fields["gt_classes"].gather(1, matches)
    classes = classes.masked_fill(labels == 0, num_classes)
    return {
        "gt_classes": classes.masked_fill((labels == -1) | ~valid, -1),
        "gt_boxes": take_places(objects.fields["gt_boxes"], matches),
        "gt_matches": matches,
    }


def trained_proposals(proposals: Sequence[Instances]) -> InstanceBatch:
    """What `ROIHeads.losses` is given, of whatever kind, as padded tensors."""
    if isinstance(proposals, InstanceBatch):
        return proposals
    batch = InstanceBatch.of(proposals, "proposal_boxes", "gt_classes", "gt_boxes", "gt_matches")
    classes = batch.fields["gt_classes"].masked_fill(~batch.valid, -1)
    return InstanceBatch(batch.image_sizes, batch.valid, {**batch.fields, "gt_classes": classes})


class Foreground:
    """The proposals of objects among those that are trained. Finding them waits for the device,
    once for the batch.

    Args:
        proposals: for each image `proposal_boxes`, `gt_classes` and `gt_matches`.
        num_classes: the class of background.

    Attributes:
        places: (F,) int64, where they are among the places of all images.
        rois: (F, 5) image and box; classes: (F,) int64.
    """

    def __init__(self, proposals: InstanceBatch, num_classes: int):
        fields, device = proposals.fields, proposals.valid.device
        boxes, classes = fields["proposal_boxes"], fields["gt_classes"]
        foreground = (classes >= 0) & (classes < num_classes)
        known = torch.stack([foreground, fields["gt_matches"]], dim=2).to(boxes.dtype)
        known = torch.cat([known, boxes], dim=2).cpu()
        chosen = known[..., 0] > 0
        self._counts = chosen.sum(dim=1).tolist()
        self._known = known[chosen]
        self.places = chosen.flatten().nonzero()[:, 0].to(device, non_blocking=True)
        self.rois = boxes_to_rois(boxes)[self.places]
        self.classes = classes.flatten()[self.places]

    def mask_targets(self, targets: Sequence[Instances], mask_size: int) -> Tensor:
        """(F, mask_size, mask_size) bool: what of the `gt_masks` lies in the boxes."""
        parts = [self.rois.new_zeros(0, mask_size, mask_size, dtype=torch.bool)]
        for objects, known in zip(targets, self._known.split(self._counts), strict=True):
            if len(known):
                part = objects.gt_masks.crop_and_resize(known[:, 2:], mask_size, known[:, 1].long())
                parts.append(part.to(self.rois.device, non_blocking=True))
        return torch.cat(parts)


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
