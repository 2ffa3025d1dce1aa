"""`CascadeROIHeads`: box heads one after another (Cai and Vasconcelos, "Cascade R-CNN", 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import ShapeSpec
from segsuite.ops.rois import boxes_to_rois
from segsuite.structures import InstanceBatch, Instances, clip_boxes

from ..box_regression import Box2BoxTransform
from ..matcher import Matcher
from ..poolers import ROIPooler
from .box_head import build_box_head
from .build import ROI_HEADS_REGISTRY
from .fast_rcnn import Detections, FastRCNNOutputLayers
from .roi_heads import match_with_objects
from .standard import StandardROIHeads


@ROI_HEADS_REGISTRY.register()
class CascadeROIHeads(StandardROIHeads):
    """Each stage refines the boxes of the one before it and is trained for a higher IoU.

    The scores of all stages are averaged, the boxes are those of the last.

    Args:
        box_pooler: of all stages.
        box_heads, box_predictors: one for each stage; the predictors have one box for all classes.
        stage_ious: from this IoU on, a box is foreground at that stage.
        kwargs: see `StandardROIHeads`.

    Raises:
        ConfigError: the numbers of stages differ.
    """

    @configurable
    def __init__(
        self,
        *,
        box_pooler: ROIPooler,
        box_heads: Sequence[nn.Module],
        box_predictors: Sequence[FastRCNNOutputLayers],
        stage_ious: Sequence[float],
        **kwargs: Any,
    ):
        if not len(box_heads) == len(box_predictors) == len(stage_ious):
            raise ConfigError(
                f"a cascade of {len(box_heads)} box heads, {len(box_predictors)} predictors and "
                f"{len(stage_ious)} IoUs; give one of each for every stage"
            )
        super().__init__(
            box_pooler=box_pooler,
            box_head=nn.ModuleList(box_heads),
            box_predictor=nn.ModuleList(box_predictors),
            **kwargs,
        )
        self.num_stages = len(box_heads)
        self.stage_matchers = [Matcher([iou], [0, 1]) for iou in stage_ious]

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c, ious = cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS
        if not c.CLS_AGNOSTIC_BBOX_REG:
            raise ConfigError(
                "CascadeROIHeads refine one box for all classes; set "
                "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG to True"
            )
        if c.TRAIN_ON_PRED_BOXES:
            raise ConfigError(
                "CascadeROIHeads train masks on the proposals; set "
                "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES to False"
            )
        if list(cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS) != [ious[0]]:
            raise ConfigError(
                f"MODEL.ROI_HEADS.IOU_THRESHOLDS is {list(cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS)}, "
                f"but the first stage's IoU (MODEL.ROI_BOX_CASCADE_HEAD.IOUS) is {ious[0]}; "
                "proposals are sampled for the first stage, so these must agree"
            )
        return super().from_config(cfg, input_shape)

    @classmethod
    def box_heads_from_config(cls, cfg: CfgNode, in_channels: int) -> dict:
        c = cfg.MODEL.ROI_BOX_CASCADE_HEAD
        resolution = cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION
        heads = [build_box_head(cfg, in_channels, resolution) for _ in c.IOUS]
        predictors = [
            FastRCNNOutputLayers(
                cfg, heads[0].output_size, box2box_transform=Box2BoxTransform(weights)
            )
            for weights in c.BBOX_REG_WEIGHTS
        ]
        return {"box_heads": heads, "box_predictors": predictors, "stage_ious": c.IOUS}

    @property
    def _predictors(self) -> Sequence[FastRCNNOutputLayers]:
        return cast(Sequence[FastRCNNOutputLayers], self.box_predictor)

    @property
    def _heads(self) -> Sequence[nn.Module]:
        return cast(Sequence[nn.Module], self.box_head)

    def detect(
        self, features: dict[str, Tensor], boxes: Tensor, valid: Tensor, image_sizes: Tensor
    ) -> Detections:
        maps, probabilities = self._maps(features), []
        for stage, predictor in enumerate(self._predictors):
            logits, deltas = self._stage_outputs(maps, boxes_to_rois(boxes), stage)
            probabilities.append(logits.softmax(-1))
            if stage + 1 < self.num_stages:
                boxes = _refined(boxes, deltas, predictor.box2box_transform, image_sizes)
        mean = torch.stack(probabilities).mean(0)
        return self._predictors[-1].detections(mean, deltas, boxes, valid, image_sizes)

    def _box_losses(
        self,
        features: dict[str, Tensor],
        proposals: InstanceBatch,
        targets: Sequence[Instances],
    ) -> tuple[dict[str, Tensor], InstanceBatch]:
        maps, losses, of_stage = self._maps(features), {}, proposals
        objects = InstanceBatch.of(targets, "gt_boxes", "gt_classes")
        for stage, predictor in enumerate(self._predictors):
            boxes = of_stage.fields["proposal_boxes"]
            logits, deltas = self._stage_outputs(maps, boxes_to_rois(boxes), stage)
            for name, loss in predictor.losses(logits, deltas, of_stage).items():
                losses[f"{name}_stage{stage}"] = loss
            if stage + 1 < self.num_stages:
                refined = _refined(boxes, deltas, predictor.box2box_transform, proposals.sizes)
                matcher = self.stage_matchers[stage + 1]
                of_stage = self._labelled(refined, of_stage, objects, matcher)
        return losses, proposals

    @torch.no_grad()
    def _labelled(
        self, boxes: Tensor, before: InstanceBatch, objects: InstanceBatch, matcher: Matcher
    ) -> InstanceBatch:
        """The proposals of a stage, but for those that the stage before made empty."""
        valid = before.valid & (boxes[..., 2:] > boxes[..., :2]).all(dim=2)
        boxes = boxes.masked_fill(~valid[..., None], 0)
        matched = match_with_objects(boxes, valid, objects, matcher, self.num_classes)
        return InstanceBatch(before.image_sizes, valid, {"proposal_boxes": boxes, **matched})

    def _stage_outputs(
        self, maps: Sequence[Tensor], rois: Tensor, stage: int
    ) -> tuple[Tensor, Tensor]:
        pooled = self.box_pooler(maps, rois)
        if pooled.requires_grad:
            # Together the stages move the features as one would.
            pooled.register_hook(lambda gradient: gradient / self.num_stages)
        return self._predictors[stage](self._heads[stage](pooled))


@torch.no_grad()
def _refined(
    boxes: Tensor, deltas: Tensor, transform: Box2BoxTransform, image_sizes: Tensor
) -> Tensor:
    """The boxes (N, P, 4) of the next stage: those of this one, moved by offsets (N * P, 4)."""
    return clip_boxes(transform.apply_deltas(deltas.view_as(boxes), boxes), image_sizes)
