"""Whole models: records in, losses or predictions out."""

from .build import META_ARCH_REGISTRY, build_model
from .network import SemSegNetwork
from .panoptic_fpn import PanopticFPN
from .rcnn import GeneralizedRCNN, ProposalNetwork
from .semantic_segmentor import SemanticSegmentor

__all__ = [
    "META_ARCH_REGISTRY",
    "GeneralizedRCNN",
    "PanopticFPN",
    "ProposalNetwork",
    "SemSegNetwork",
    "SemanticSegmentor",
    "build_model",
]
