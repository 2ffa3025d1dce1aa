"""The augmentations that a configuration asks for."""

from __future__ import annotations

from segsuite.config import CfgNode

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


def build_augmentations(cfg: CfgNode, is_train: bool) -> AugmentationList:
    """Build from INPUT: resize, random scale, crop, padding, flip, colour; only resize for tests.

    Raises:
        ValueError: a value that the key it names can't have.
    """
    if not is_train:
        size = cfg.INPUT.MIN_SIZE_TEST
        return AugmentationList([ResizeShortestEdge((size,), cfg.INPUT.MAX_SIZE_TEST)])
    augmentations: list[Augmentation] = [
        ResizeShortestEdge(
            _as_tuple(cfg.INPUT.MIN_SIZE_TRAIN),
            cfg.INPUT.MAX_SIZE_TRAIN,
            cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING,
        )
    ]
    scale = cfg.INPUT.RANDOM_SCALE
    if scale:
        if len(scale) != 2:
            raise ValueError(
                f"INPUT.RANDOM_SCALE is {cfg.INPUT.RANDOM_SCALE}: expected (low, high)"
            )
        augmentations.append(RandomScale(*cfg.INPUT.RANDOM_SCALE))
    if cfg.INPUT.CROP.ENABLED:
        augmentations += _build_crop(cfg)
    if cfg.INPUT.RANDOM_FLIP != "none":
        augmentations.append(RandomFlip(cfg.INPUT.RANDOM_FLIP))
    jitter = cfg.INPUT.COLOR_JITTER
    if jitter.BRIGHTNESS or jitter.CONTRAST or jitter.SATURATION or jitter.HUE:
        augmentations.append(
            ColorJitter(jitter.BRIGHTNESS, jitter.CONTRAST, jitter.SATURATION, jitter.HUE)
        )
    return AugmentationList(augmentations)


def _build_crop(cfg: CfgNode) -> list[Augmentation]:
    crop = cfg.INPUT.CROP
    ignore_label = cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    augmentations: list[Augmentation] = [
        RandomCrop(crop.TYPE, crop.SIZE, crop.SINGLE_CATEGORY_MAX_AREA, ignore_label)
    ]
    if crop.TYPE == "absolute" and crop.PAD:
        # The mean colour is 0 once the model has normalised it.
        color = [round(mean) for mean in cfg.MODEL.PIXEL_MEAN]
        if cfg.INPUT.FORMAT == "BGR":
            color.reverse()
        size = (int(crop.SIZE[0]), int(crop.SIZE[1]))
        augmentations.append(PadToSize(size, color=color, label=ignore_label))
    return augmentations


def _as_tuple(value) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
