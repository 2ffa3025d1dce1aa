"""The augmentations that a configuration asks for."""

from __future__ import annotations

from segsuite.config import CfgNode, build_entry, read_entries
from segsuite.errors import ConfigError

from .augmentation import (
    ColorJitter,
    PadToSize,
    RandomCrop,
    RandomFlip,
    RandomScale,
    ResizeShortestEdge,
)
from .base import AUGMENTATION_REGISTRY, Augmentation, AugmentationList, as_augmentation

CROP_ORDERS = ("auto", "before_resize", "after_resize")
_KEY = "INPUT.AUGMENTATIONS"


def build_augmentations(cfg: CfgNode, is_train: bool) -> AugmentationList:
    """INPUT.AUGMENTATIONS one after another; for tests the resize to INPUT.MIN_SIZE_TEST alone.

    Raises:
        UnknownNameError: there is no such augmentation, or it does not take an argument.
        ConfigError: a value that the key it names can't have.
    """
    if not is_train:
        size = cfg.INPUT.MIN_SIZE_TEST
        return AugmentationList([ResizeShortestEdge((size,), cfg.INPUT.MAX_SIZE_TEST)])
    ignore_label = cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    built: list[Augmentation] = []
    for name, arguments in read_entries(cfg.INPUT.AUGMENTATIONS, _KEY):
        if name.startswith("torchvision."):
            from .torchvision_v2 import build_torchvision

            transform = build_torchvision(name, arguments, _KEY)
            built.append(as_augmentation(transform, ignore_label))
            continue
        augmentation = build_entry(AUGMENTATION_REGISTRY.get(name), name, arguments, _KEY, cfg)
        # A function may return one of torchvision's as well.
        built.append(as_augmentation(augmentation, ignore_label))
    return AugmentationList(built)


@AUGMENTATION_REGISTRY.register(name="default")
def build_default_augmentations(cfg: CfgNode) -> AugmentationList:
    """What the keys of INPUT ask for: resize, random scale, crop, padding, flip, colour.

    INPUT.CROP.ORDER says whether the crop is the first of them.
    """
    crop, jitter = cfg.INPUT.CROP, cfg.INPUT.COLOR_JITTER
    crops_first = crop.ENABLED and _crops_before_resize(cfg)
    built: list[Augmentation] = [RandomCrop(cfg)] if crops_first else []
    built.append(ResizeShortestEdge(cfg))
    if cfg.INPUT.RANDOM_SCALE:
        built.append(RandomScale(cfg))
    if crop.ENABLED and not crops_first:
        built.append(RandomCrop(cfg))
        if crop.TYPE == "absolute" and crop.PAD:
            built.append(PadToSize(cfg))
    if cfg.INPUT.RANDOM_FLIP != "none":
        built.append(RandomFlip(cfg))
    if any(jitter.values()):
        built.append(ColorJitter(cfg))
    return AugmentationList(built)


def _crops_before_resize(cfg: CfgNode) -> bool:
    order = cfg.INPUT.CROP.ORDER
    if order not in CROP_ORDERS:
        raise ConfigError(
            f"INPUT.CROP.ORDER is '{order}': expected one of {', '.join(CROP_ORDERS)}"
        )
    if order == "auto":
        # In Detectron2 DeepLab crops what the network sees, the mapper of objects the file's image.
        return cfg.MODEL.META_ARCHITECTURE != "SemanticSegmentor" and not cfg.INPUT.RANDOM_SCALE
    return order == "before_resize"
