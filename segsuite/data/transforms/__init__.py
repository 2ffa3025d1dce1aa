"""Transforms, and the random augmentations that draw them."""

from .augmentation import (
    ColorJitter,
    PadToSize,
    RandomCrop,
    RandomFlip,
    RandomScale,
    ResizeShortestEdge,
)
from .base import (
    AUGMENTATION_REGISTRY,
    AugInput,
    Augmentation,
    AugmentationList,
    as_augmentation,
)
from .build import build_augmentations
from .color import ColorTransform
from .transform import (
    CropTransform,
    HFlipTransform,
    PadTransform,
    ResizedCropTransform,
    ResizeTransform,
    Transform,
    TransformList,
    VFlipTransform,
    fuse,
)

__all__ = [
    "AUGMENTATION_REGISTRY",
    "AugInput",
    "Augmentation",
    "AugmentationList",
    "ColorJitter",
    "ColorTransform",
    "CropTransform",
    "HFlipTransform",
    "PadToSize",
    "PadTransform",
    "RandomCrop",
    "RandomFlip",
    "RandomScale",
    "ResizeShortestEdge",
    "ResizeTransform",
    "ResizedCropTransform",
    "Transform",
    "TransformList",
    "VFlipTransform",
    "as_augmentation",
    "build_augmentations",
    "fuse",
]
