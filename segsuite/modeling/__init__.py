"""Models and their parts."""

from .backbone import BACKBONE_REGISTRY, Backbone, build_backbone
from .losses import SEM_SEG_LOSS_REGISTRY
from .meta_arch import META_ARCH_REGISTRY, SemanticSegmentor, build_model
from .sem_seg import SEM_SEG_HEADS_REGISTRY, SemSegHead, build_sem_seg_head

__all__ = [
    "BACKBONE_REGISTRY",
    "META_ARCH_REGISTRY",
    "SEM_SEG_HEADS_REGISTRY",
    "SEM_SEG_LOSS_REGISTRY",
    "Backbone",
    "SemSegHead",
    "SemanticSegmentor",
    "build_backbone",
    "build_model",
    "build_sem_seg_head",
]
