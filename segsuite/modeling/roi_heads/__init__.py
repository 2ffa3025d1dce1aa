"""The second stage: classes, boxes and masks of proposals."""

from .box_head import ROI_BOX_HEAD_REGISTRY, FastRCNNConvFCHead, build_box_head
from .build import ROI_HEADS_REGISTRY, build_roi_heads
from .cascade import CascadeROIHeads
from .fast_rcnn import Detections, FastRCNNOutputLayers, fast_rcnn_inference
from .mask_head import ROI_MASK_HEAD_REGISTRY, MaskRCNNConvUpsampleHead, build_mask_head
from .res5 import Res5ROIHeads
from .roi_heads import ROIHeads
from .standard import StandardROIHeads

__all__ = [
    "ROI_BOX_HEAD_REGISTRY",
    "ROI_HEADS_REGISTRY",
    "ROI_MASK_HEAD_REGISTRY",
    "CascadeROIHeads",
    "Detections",
    "FastRCNNConvFCHead",
    "FastRCNNOutputLayers",
    "MaskRCNNConvUpsampleHead",
    "ROIHeads",
    "Res5ROIHeads",
    "StandardROIHeads",
    "build_box_head",
    "build_mask_head",
    "build_roi_heads",
    "fast_rcnn_inference",
]
