"""Models and their parts."""

from .anchor_generator import ANCHOR_GENERATOR_REGISTRY
from .backbone import BACKBONE_REGISTRY, Backbone, build_backbone
from .inference import build_inference
from .losses import SEM_SEG_LOSS_REGISTRY
from .meta_arch import (
    META_ARCH_REGISTRY,
    GeneralizedRCNN,
    ProposalNetwork,
    SemanticSegmentor,
    build_model,
)
from .proposal_generator import PROPOSAL_GENERATOR_REGISTRY, RPN_HEAD_REGISTRY
from .roi_heads import ROI_BOX_HEAD_REGISTRY, ROI_HEADS_REGISTRY, ROI_MASK_HEAD_REGISTRY
from .sem_seg import SEM_SEG_HEADS_REGISTRY, SemSegHead, build_sem_seg_head

__all__ = [
    "ANCHOR_GENERATOR_REGISTRY",
    "BACKBONE_REGISTRY",
    "META_ARCH_REGISTRY",
    "PROPOSAL_GENERATOR_REGISTRY",
    "ROI_BOX_HEAD_REGISTRY",
    "ROI_HEADS_REGISTRY",
    "ROI_MASK_HEAD_REGISTRY",
    "RPN_HEAD_REGISTRY",
    "SEM_SEG_HEADS_REGISTRY",
    "SEM_SEG_LOSS_REGISTRY",
    "Backbone",
    "GeneralizedRCNN",
    "ProposalNetwork",
    "SemSegHead",
    "SemanticSegmentor",
    "build_backbone",
    "build_inference",
    "build_model",
    "build_sem_seg_head",
]
