"""`Res5ROIHeads`: the last stage of a ResNet on each RoI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import ShapeSpec
from segsuite.ops.rois import boxes_to_rois
from segsuite.structures import Instances

from ..backbone import BottleneckBlock, make_stage
from ..poolers import ROIPooler, build_pooler
from .build import ROI_HEADS_REGISTRY
from .fast_rcnn import Detections, FastRCNNOutputLayers
from .mask_head import MaskHead, build_mask_head
from .roi_heads import Foreground, ROIHeads, feature_shapes, trained_proposals


@ROI_HEADS_REGISTRY.register()
class Res5ROIHeads(ROIHeads):
    """The second stage of C4 models (He et al., "Mask R-CNN", figure 4, left): the ResNet's fifth
    stage runs on each RoI, and boxes and masks share what it finds.

    Args:
        pooler: of the RoIs.
        res5: (R, C, S, S) -> (R, C', S / 2, S / 2).
        box_predictor: classes and boxes from the mean over the pixels.
        mask_head: masks from the pixels; None: no masks.
        kwargs: see `ROIHeads`; of `in_features` there is one.

    Raises:
        ConfigError: there is not exactly one feature.
    """

    @configurable
    def __init__(
        self,
        *,
        pooler: ROIPooler,
        res5: nn.Module,
        box_predictor: FastRCNNOutputLayers,
        mask_head: MaskHead | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if len(self.in_features) != 1:
            raise ConfigError(
                f"Res5ROIHeads pools from one feature, got {self.in_features}; "
                "set MODEL.ROI_HEADS.IN_FEATURES to one name"
            )
        self.pooler = pooler
        self.res5 = res5
        self.box_predictor = box_predictor
        self.mask_head = mask_head

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        shapes = feature_shapes(cfg.MODEL.ROI_HEADS.IN_FEATURES, input_shape)
        r = cfg.MODEL.RESNETS
        out_channels = r.RES2_OUT_CHANNELS * 8
        arguments = {
            **super().from_config(cfg, input_shape),
            "pooler": build_pooler(cfg.MODEL.ROI_BOX_HEAD, shapes),
            "res5": make_stage(
                BottleneckBlock,
                shapes[0].channels,
                out_channels,
                stride=2,
                dilations=(1, 1, 1),
                bottleneck_channels=r.NUM_GROUPS * r.WIDTH_PER_GROUP * 8,
                num_groups=r.NUM_GROUPS,
                stride_in_1x1=r.STRIDE_IN_1X1,
                norm=r.NORM,
            ),
            "box_predictor": FastRCNNOutputLayers(cfg, out_channels),
        }
        if cfg.MODEL.MASK_ON:
            arguments["mask_head"] = build_mask_head(cfg, out_channels)
        return arguments

    def losses(
        self,
        features: dict[str, Tensor],
        proposals: Sequence[Instances],
        targets: Sequence[Instances],
    ) -> dict[str, Tensor]:
        batch = trained_proposals(proposals)
        x = self._roi_features(features, boxes_to_rois(batch.fields["proposal_boxes"]))
        logits, deltas = self.box_predictor(x.mean(dim=(2, 3)))
        losses = self.box_predictor.losses(logits, deltas, batch)
        if self.mask_head is not None:
            foreground = Foreground(batch, self.num_classes)
            masks = self.mask_head(x[foreground.places], foreground.classes)
            mask_targets = foreground.mask_targets(targets, masks.shape[-1])
            losses.update(self.mask_head.losses(masks, mask_targets))
        return losses

    def detect(
        self, features: dict[str, Tensor], boxes: Tensor, valid: Tensor, image_sizes: Tensor
    ) -> Detections:
        x = self._roi_features(features, boxes_to_rois(boxes))
        logits, deltas = self.box_predictor(x.mean(dim=(2, 3)))
        return self.box_predictor.detections(logits.softmax(-1), deltas, boxes, valid, image_sizes)

    def masks(self, features: dict[str, Tensor], rois: Tensor, classes: Tensor) -> Tensor:
        assert self.mask_head is not None
        return self.mask_head(self._roi_features(features, rois), classes).sigmoid()

    def _roi_features(self, features: dict[str, Tensor], rois: Tensor | Sequence[Tensor]) -> Tensor:
        return self.res5(self.pooler([features[self.in_features[0]]], rois))
