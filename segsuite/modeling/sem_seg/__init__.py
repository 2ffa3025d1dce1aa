"""Heads for semantic segmentation."""

from .build import SEM_SEG_HEADS_REGISTRY, build_sem_seg_head
from .deeplab import DeepLabV3Head, DeepLabV3PlusHead
from .fcn import FCNHead, build_aux_head
from .fcn_skip import FCNSkipHead
from .head import SemSegHead
from .hrnet import HRNetV2Head
from .lraspp import LRASPPHead
from .ocr import OCRHead
from .postprocessing import sem_seg_predictions
from .psp import PSPHead
from .segformer import SegFormerHead
from .semantic_fpn import SemSegFPNHead
from .unet import UNetHead
from .upernet import UPerNetHead

__all__ = [
    "SEM_SEG_HEADS_REGISTRY",
    "DeepLabV3Head",
    "DeepLabV3PlusHead",
    "FCNHead",
    "FCNSkipHead",
    "HRNetV2Head",
    "LRASPPHead",
    "OCRHead",
    "PSPHead",
    "SegFormerHead",
    "SemSegFPNHead",
    "SemSegHead",
    "UNetHead",
    "UPerNetHead",
    "build_aux_head",
    "build_sem_seg_head",
    "sem_seg_predictions",
]
