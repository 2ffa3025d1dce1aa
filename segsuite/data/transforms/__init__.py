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
    ResizedCropTransform,
    ResizeTransform,
    Transform,
    TransformList,
    VFlipTransform,
    fuse,
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
    "ResizedCropTransform",
    "Transform",
    "TransformList",
    "VFlipTransform",
    "build_augmentations",
    "fuse",
]
