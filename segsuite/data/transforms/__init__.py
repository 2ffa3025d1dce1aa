"""Transforms, and the random augmentations that draw them."""

from .augmentation import (
    AugInput,
    Augmentation,
    AugmentationList,
    ColorJitter,
    PadToSize,
    RandomCrop,
    RandomFlip,
    RandomScale,
    ResizeShortestEdge,
)
from .build import build_augmentations
from .color import ColorTransform
from .transform import (
    CropTransform,
    HFlipTransform,
    PadTransform,
    ResizeTransform,
    Transform,
    TransformList,
    VFlipTransform,
)

__all__ = [
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
    "Transform",
    "TransformList",
    "VFlipTransform",
    "build_augmentations",
]
