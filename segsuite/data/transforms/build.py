"""The augmentations that a configuration asks for."""

from __future__ import annotations

from segsuite.config import CfgNode
from segsuite.errors import ConfigError

from .augmentation import (
    Augmentation,
    AugmentationList,
    ColorJitter,
    PadToSize,
    RandomCrop,
    RandomFlip,
    RandomScale,
    ResizeShortestEdge,
)

CROP_ORDERS = ("auto", "before_resize", "after_resize")


def build_augmentations(cfg: CfgNode, is_train: bool) -> AugmentationList:
    """Build from INPUT: resize, random scale, crop, padding, flip, colour; only resize for tests.

    INPUT.CROP.ORDER says whether the crop is the first of them.

    Raises:
        ValueError: a value that the key it names can't have.
    """
    if not is_train:
        size = cfg.INPUT.MIN_SIZE_TEST
        return AugmentationList([ResizeShortestEdge((size,), cfg.INPUT.MAX_SIZE_TEST)])
    crops_first = cfg.INPUT.CROP.ENABLED and _crops_before_resize(cfg)
    augmentations: list[Augmentation] = [_build_crop(cfg)] if crops_first else []
    augmentations.append(
        ResizeShortestEdge(
            _as_tuple(cfg.INPUT.MIN_SIZE_TRAIN),
            cfg.INPUT.MAX_SIZE_TRAIN,
            cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING,
        )
    )
    scale = cfg.INPUT.RANDOM_SCALE
    if scale:
        if len(scale) != 2:
            raise ConfigError(
                f"INPUT.RANDOM_SCALE is {cfg.INPUT.RANDOM_SCALE}: expected (low, high)"
            )
        augmentations.append(RandomScale(*cfg.INPUT.RANDOM_SCALE))
    if cfg.INPUT.CROP.ENABLED and not crops_first:
        augmentations.append(_build_crop(cfg))
        if cfg.INPUT.CROP.TYPE == "absolute" and cfg.INPUT.CROP.PAD:
            augmentations.append(_build_padding(cfg))
    if cfg.INPUT.RANDOM_FLIP != "none":
        augmentations.append(RandomFlip(cfg.INPUT.RANDOM_FLIP))
    jitter = cfg.INPUT.COLOR_JITTER
    if jitter.BRIGHTNESS or jitter.CONTRAST or jitter.SATURATION or jitter.HUE:
        augmentations.append(
            ColorJitter(jitter.BRIGHTNESS, jitter.CONTRAST, jitter.SATURATION, jitter.HUE)
        )
    return AugmentationList(augmentations)


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


def _build_crop(cfg: CfgNode) -> RandomCrop:
    crop = cfg.INPUT.CROP
    ignore_label = cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    return RandomCrop(crop.TYPE, crop.SIZE, crop.SINGLE_CATEGORY_MAX_AREA, ignore_label)


def _build_padding(cfg: CfgNode) -> PadToSize:
    # The mean colour is 0 once the model has normalised it.
    color = [round(mean) for mean in cfg.MODEL.PIXEL_MEAN]
    if cfg.INPUT.FORMAT == "BGR":
        color.reverse()
    height, width = cfg.INPUT.CROP.SIZE
    label = cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    return PadToSize((int(height), int(width)), color=color, label=label)


def _as_tuple(value) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
