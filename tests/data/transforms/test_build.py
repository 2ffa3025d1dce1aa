from __future__ import annotations

import numpy as np
import pytest

from segsuite.config import get_cfg
from segsuite.data.transforms import AugInput, build_augmentations


@pytest.fixture
def cfg():
    return get_cfg()


def names(augmentations):
    return [type(a).__name__ for a in augmentations.augmentations]


def test_training_default(cfg):
    assert names(build_augmentations(cfg, True)) == ["ResizeShortestEdge", "RandomFlip"]


def test_everything(cfg):
    cfg.merge_from_list(
        [
            *("INPUT.RANDOM_SCALE", "(0.5, 2.0)", "INPUT.CROP.ENABLED", "True"),
            *("INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", "[32, 48]"),
            *("INPUT.COLOR_JITTER.HUE", "0.1", "INPUT.MIN_SIZE_TRAIN", "(0,)"),
        ]
    )
    augmentations = build_augmentations(cfg, True)
    assert names(augmentations) == [
        *("ResizeShortestEdge", "RandomScale", "RandomCrop"),
        *("PadToSize", "RandomFlip", "ColorJitter"),
    ]
    rng = np.random.default_rng(0)
    for _ in range(20):
        transform = augmentations.get_transform(AugInput((30, 40)), rng)
        assert transform.output_size((30, 40)) == (32, 48)


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({"MODEL.META_ARCHITECTURE": "GeneralizedRCNN"}, "RandomCrop"),
        ({"MODEL.META_ARCHITECTURE": "PanopticFPN"}, "RandomCrop"),
        ({"MODEL.META_ARCHITECTURE": "SemanticSegmentor"}, "ResizeShortestEdge"),
        # Large-scale jitter
        (
            {"MODEL.META_ARCHITECTURE": "GeneralizedRCNN", "INPUT.RANDOM_SCALE": "(0.1, 2.0)"},
            "ResizeShortestEdge",
        ),
        (
            {"MODEL.META_ARCHITECTURE": "GeneralizedRCNN", "INPUT.CROP.ORDER": "after_resize"},
            "ResizeShortestEdge",
        ),
        ({"INPUT.CROP.ORDER": "before_resize", "INPUT.RANDOM_SCALE": "(0.5, 2.0)"}, "RandomCrop"),
    ],
)
def test_order_of_crop_and_resize(cfg, options, first):
    cfg.INPUT.CROP.ENABLED = True
    cfg.merge_from_list([x for pair in options.items() for x in pair])
    found = names(build_augmentations(cfg, True))
    assert found[0] == first and found.count("RandomCrop") == 1


def test_unknown_order(cfg):
    cfg.merge_from_list(["INPUT.CROP.ENABLED", "True", "INPUT.CROP.ORDER", "first"])
    with pytest.raises(ValueError, match=r"INPUT\.CROP\.ORDER is 'first': expected one of auto"):
        build_augmentations(cfg, True)


def test_a_crop_of_the_file_is_what_is_resized(cfg):
    """Half of 400 x 600 pixels, then the short edge to 100: twice as close as without the crop."""
    cfg.merge_from_list(
        [
            *("MODEL.META_ARCHITECTURE", "GeneralizedRCNN", "INPUT.RANDOM_FLIP", "none"),
            *("INPUT.CROP.ENABLED", "True", "INPUT.CROP.TYPE", "relative"),
            *("INPUT.CROP.SIZE", "[0.5, 0.5]", "INPUT.MIN_SIZE_TRAIN", "(100,)"),
        ]
    )
    rng = np.random.default_rng(0)
    transform = build_augmentations(cfg, True).get_transform(AugInput((400, 600)), rng)
    assert transform.output_size((400, 600)) == (100, 150)
    corners = transform.apply_coords(np.array([[0.0, 0.0], [600.0, 400.0]]))
    np.testing.assert_allclose(corners[1] - corners[0], [300, 200])


def test_evaluation_only_resizes(cfg):
    cfg.merge_from_list(["INPUT.RANDOM_SCALE", "(0.5, 2.0)", "INPUT.CROP.ENABLED", "True"])
    augmentations = build_augmentations(cfg, False)
    assert names(augmentations) == ["ResizeShortestEdge"]
    transform = augmentations.get_transform(AugInput((480, 640)), np.random.default_rng(0))
    assert transform.output_size((480, 640)) == (800, 1067)


def test_padding_is_the_mean_and_the_ignore_label(cfg):
    cfg.merge_from_list(
        [
            *("INPUT.CROP.ENABLED", "True", "INPUT.CROP.TYPE", "absolute"),
            *("INPUT.CROP.SIZE", "[8, 8]", "INPUT.MIN_SIZE_TRAIN", "(0,)"),
            *("MODEL.SEM_SEG_HEAD.IGNORE_VALUE", "254"),
        ]
    )
    cfg.INPUT.RANDOM_FLIP = "none"
    transform = build_augmentations(cfg, True).get_transform(
        AugInput((4, 4)), np.random.default_rng(0)
    )
    image = transform.apply_image(np.zeros((4, 4, 3), np.uint8))
    assert (image[4:] == (124, 116, 104)).all(), "RGB; PIXEL_MEAN is BGR"
    assert (transform.apply_segmentation(np.zeros((4, 4), np.uint8))[:, 4:] == 254).all()
