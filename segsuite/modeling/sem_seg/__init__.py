"""Heads for semantic segmentation."""

from .build import SEM_SEG_HEADS_REGISTRY, build_sem_seg_head
from .deeplab import DeepLabV3Head, DeepLabV3PlusHead
from .fcn import FCNHead, build_aux_head
from .head import SemSegHead
from .lraspp import LRASPPHead
from .postprocessing import sem_seg_predictions
from .semantic_fpn import SemSegFPNHead
from .unet import UNetHead

__all__ = [
    "SEM_SEG_HEADS_REGISTRY",
    "DeepLabV3Head",
    "DeepLabV3PlusHead",
    "FCNHead",
    "LRASPPHead",
    "SemSegFPNHead",
    "SemSegHead",
    "UNetHead",
    "build_aux_head",
    "build_sem_seg_head",
    "sem_seg_predictions",
]
