"""`StandardROIHeads`: a box head and a mask head on RoIs of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segsuite.config import CfgNode, configurable
from segsuite.layers import ShapeSpec
from segsuite.ops.rois import boxes_to_rois
from segsuite.structures import InstanceBatch, Instances

from ..poolers import ROIPooler, build_pooler
from .box_head import build_box_head
from .build import ROI_HEADS_REGISTRY
from .fast_rcnn import Detections, FastRCNNOutputLayers
from .mask_head import MaskHead, build_mask_head
from .roi_heads import Foreground, ROIHeads, feature_shapes, trained_proposals


@ROI_HEADS_REGISTRY.register()
class StandardROIHeads(ROIHeads):
    """The second stage of FPN and DC5 models: boxes and masks are pooled separately.

    Args:
        box_pooler, box_head, box_predictor: one after another they turn proposals into classes and
            boxes, see `FastRCNNConvFCHead` and `FastRCNNOutputLayers`.
        mask_pooler, mask_head: the same for masks, see `MaskRCNNConvUpsampleHead`; None: no masks.
        train_on_pred_boxes: the mask head is trained on the boxes that the box head predicts.
        kwargs: see `ROIHeads`.

    Raises:
        ValueError: one of `mask_pooler` and `mask_head` is there without the other.
    """

    @configurable
    def __init__(
        self,
        *,
        box_pooler: ROIPooler,
        box_head: nn.Module,
        box_predictor: FastRCNNOutputLayers,
        mask_pooler: ROIPooler | None = None,
        mask_head: MaskHead | None = None,
        train_on_pred_boxes: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if (mask_pooler is None) != (mask_head is None):
            missing = "mask_pooler" if mask_pooler is None else "mask_head"
            raise ValueError(f"masks need a pooler and a head; {missing} is None")
        self.box_pooler = box_pooler
        self.box_head = box_head
        self.box_predictor = box_predictor
        self.mask_pooler = mask_pooler
        self.mask_head = mask_head
        self.train_on_pred_boxes = train_on_pred_boxes
        sections = {"ROI_BOX_HEAD": box_pooler, "ROI_MASK_HEAD": mask_pooler}
        self.hidden_settings = {
            f"MODEL.{section}.{key}": value
            for section, pooler in sections.items()
            if pooler is not None
            for key, value in pooler.settings.items()
        }

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        shapes = feature_shapes(cfg.MODEL.ROI_HEADS.IN_FEATURES, input_shape)
        arguments = {
            **super().from_config(cfg, input_shape),
            "train_on_pred_boxes": cfg.MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES,
            "box_pooler": build_pooler(cfg.MODEL.ROI_BOX_HEAD, shapes),
            **cls.box_heads_from_config(cfg, shapes[0].channels),
        }
        if cfg.MODEL.MASK_ON:
            arguments["mask_pooler"] = build_pooler(cfg.MODEL.ROI_MASK_HEAD, shapes)
            arguments["mask_head"] = build_mask_head(cfg, shapes[0].channels)
        return arguments

    @classmethod
    def box_heads_from_config(cls, cfg: CfgNode, in_channels: int) -> dict:
        """The arguments that `CascadeROIHeads` has of another kind."""
        box_head = build_box_head(cfg, in_channels, cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION)
        return {
            "box_head": box_head,
            "box_predictor": FastRCNNOutputLayers(cfg, box_head.output_size),
        }

    def losses(
        self,
        features: dict[str, Tensor],
        proposals: Sequence[Instances],
        targets: Sequence[Instances],
    ) -> dict[str, Tensor]:
        batch = trained_proposals(proposals)
        losses, batch = self._box_losses(features, batch, targets)
        if self.mask_head is not None and self.mask_pooler is not None:
            foreground = Foreground(batch, self.num_classes)
            pooled = self.mask_pooler(self._maps(features), foreground.rois)
            logits = self.mask_head(pooled, foreground.classes)
            mask_targets = foreground.mask_targets(targets, logits.shape[-1])
            losses.update(self.mask_head.losses(logits, mask_targets))
        return losses

    def detect(
        self, features: dict[str, Tensor], boxes: Tensor, valid: Tensor, image_sizes: Tensor
    ) -> Detections:
        logits, deltas = self._box_outputs(features, boxes_to_rois(boxes))
        return self.box_predictor.detections(logits.softmax(-1), deltas, boxes, valid, image_sizes)

    def masks(self, features: dict[str, Tensor], rois: Tensor, classes: Tensor) -> Tensor:
        assert self.mask_head is not None and self.mask_pooler is not None
        return self.mask_head(self.mask_pooler(self._maps(features), rois), classes).sigmoid()

    def _maps(self, features: dict[str, Tensor]) -> list[Tensor]:
        return [features[name] for name in self.in_features]

    def _box_outputs(self, features: dict[str, Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        return self.box_predictor(self.box_head(self.box_pooler(self._maps(features), rois)))

    def _box_losses(
        self,
        features: dict[str, Tensor],
        proposals: InstanceBatch,
        targets: Sequence[Instances],
    ) -> tuple[dict[str, Tensor], InstanceBatch]:
        """The losses, and the proposals for the mask head."""
        boxes = proposals.fields["proposal_boxes"]
        logits, deltas = self._box_outputs(features, boxes_to_rois(boxes))
        losses = self.box_predictor.losses(logits, deltas, proposals)
        if self.train_on_pred_boxes:
            with torch.no_grad():
                classes = proposals.fields["gt_classes"].flatten()
                predicted = self.box_predictor.predict_boxes(deltas, boxes.flatten(0, 1), classes)
            fields = {**proposals.fields, "proposal_boxes": predicted.view_as(boxes)}
            proposals = InstanceBatch(proposals.image_sizes, proposals.valid, fields)
        return losses, proposals
