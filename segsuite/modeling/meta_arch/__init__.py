"""Whole models: records in, losses or predictions out."""

from .build import META_ARCH_REGISTRY, build_model
from .semantic_segmentor import SemanticSegmentor

__all__ = ["META_ARCH_REGISTRY", "SemanticSegmentor", "build_model"]
