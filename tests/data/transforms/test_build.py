from __future__ import annotations

import numpy as np
import pytest
from torchvision.transforms import v2

from segsuite.config import get_cfg
from segsuite.data.transforms import (
    AUGMENTATION_REGISTRY,
    AugInput,
    RandomScale,
    build_augmentations,
)


def augmented(augmentations, size, seed=0):
    inputs = AugInput(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8))
    augmentations(inputs, np.random.default_rng(seed))
    return inputs


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
    for seed in range(20):
        assert augmented(augmentations, (30, 40), seed).size == (32, 48)


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
    inputs = augmented(build_augmentations(cfg, True), (400, 600))
    assert inputs.size == (100, 150)
    corners = inputs.transform.apply_coords(np.array([[0.0, 0.0], [600.0, 400.0]]))
    np.testing.assert_allclose(corners[1] - corners[0], [300, 200])


def test_evaluation_only_resizes(cfg):
    cfg.merge_from_list(["INPUT.RANDOM_SCALE", "(0.5, 2.0)", "INPUT.CROP.ENABLED", "True"])
    augmentations = build_augmentations(cfg, False)
    assert names(augmentations) == ["ResizeShortestEdge"]
    assert augmented(augmentations, (480, 640)).size == (800, 1067)


def test_padding_is_the_mean_and_the_ignore_label(cfg):
    cfg.merge_from_list(
        [
            *("INPUT.CROP.ENABLED", "True", "INPUT.CROP.TYPE", "absolute"),
            *("INPUT.CROP.SIZE", "[8, 8]", "INPUT.MIN_SIZE_TRAIN", "(0,)"),
            *("MODEL.SEM_SEG_HEAD.IGNORE_VALUE", "254"),
        ]
    )
    cfg.INPUT.RANDOM_FLIP = "none"
    inputs = augmented(build_augmentations(cfg, True), (4, 4))
    assert (inputs.image[4:] == (124, 116, 104)).all(), "RGB; PIXEL_MEAN is BGR"
    assert (inputs.sem_seg[:, 4:] == 254).all()


def test_a_list_is_all_that_is_done(cfg):
    cfg.INPUT.RANDOM_FLIP = "vertical"
    cfg.merge_from_list(
        [
            "INPUT.AUGMENTATIONS",
            "[{'RandomCrop': {'CROP_TYPE': 'absolute', 'CROP_SIZE': [8, 9]}}, 'RandomFlip']",
        ]
    )
    augmentations = build_augmentations(cfg, True)
    assert names(augmentations) == ["RandomCrop", "RandomFlip"]
    assert augmented(augmentations, (20, 30)).size == (8, 9)
    assert augmentations.augmentations[1].direction == "vertical"  # of the key
    cfg.INPUT.AUGMENTATIONS = ()
    assert names(build_augmentations(cfg, True)) == []


def test_what_the_keys_ask_for_may_have_others_before_and_after(cfg):
    cfg.INPUT.AUGMENTATIONS = (
        {"RandomScale": {"LOW": 0.5, "HIGH": 2.0}},
        "default",
        {"torchvision.RandomGrayscale": {"P": "1e-1"}},
    )
    assert names(build_augmentations(cfg, True)) == [
        *("RandomScale", "ResizeShortestEdge", "RandomFlip", "TorchvisionAugmentation")
    ]
    assert names(build_augmentations(cfg, False)) == ["ResizeShortestEdge"]


def test_one_of_an_outside_package(cfg, registered):
    @registered(AUGMENTATION_REGISTRY)
    def Twice(cfg, *, factor=2.0):
        return [RandomScale(factor, factor), v2.RandomHorizontalFlip(p=1.0)]

    cfg.INPUT.AUGMENTATIONS = ({"Twice": {"FACTOR": 3.0}},)
    augmentations = build_augmentations(cfg, True)
    assert names(augmentations) == ["RandomScale", "TorchvisionAugmentation"]
    assert augmented(augmentations, (10, 20)).size == (30, 60)


@pytest.mark.parametrize(
    "entry, message",
    [
        ("RandomFlap", "'RandomFlap' is not in the AUGMENTATION registry. Did you mean 'RandomFl"),
        ({"RandomFlip": {"PRB": 1}}, r"INPUT.AUGMENTATIONS: RandomFlip has no argument PRB.*PROB"),
        ({"RandomFlip": {"DIRECTION": "up"}}, "flip 'up'.*expected 'horizontal' or 'vertical'"),
        ("RandomScale", r"INPUT.RANDOM_SCALE is \(\): expected \(low, high\)"),
        ({"RandomFlip": {}, "RandomCrop": {}}, "is no entry"),
        ("torchvision.RandomRotate", "'RandomRotate' is not in .* mean 'RandomRotation'"),
        ("torchvision.Transform", "'Transform' is not in the torchvision.transforms.v2"),
        ({"torchvision.RandomRotation": {"DEGRES": 9}}, "RandomRotation with DEGRES 9: .*'degre"),
        ("torchvision.RandomRotation", "with no arguments: .*'degrees'"),
        ({"torchvision.RandomRotation": {"DEGREES": -9}}, "with DEGREES -9: "),
    ],
)
def test_entries_that_do_not_work(cfg, entry, message):
    cfg.INPUT.AUGMENTATIONS = (entry,)
    with pytest.raises((KeyError, ValueError), match=message):
        build_augmentations(cfg, True)
