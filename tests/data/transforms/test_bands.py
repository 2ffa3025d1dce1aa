"""Transforms of images with other bands than red, green and blue."""

from __future__ import annotations

import numpy as np
import pytest
from torchvision.transforms import v2

from segsuite.config import get_cfg
from segsuite.data.mapper import to_planes
from segsuite.data.transforms import (
    AugInput,
    CropTransform,
    HFlipTransform,
    ResizeTransform,
    VFlipTransform,
    build_augmentations,
)
from segsuite.data.transforms.augmentation import ColorJitter, PadToSize
from segsuite.data.transforms.color import ColorTransform
from segsuite.data.transforms.torchvision_v2 import TorchvisionAugmentation
from segsuite.data.transforms.transform import fuse

COUNTS = [1, 2, 3, 4, 5, 8, 13]


@pytest.fixture(params=COUNTS)
def image(request):
    return np.random.default_rng(0).integers(0, 256, (40, 50, request.param), dtype=np.uint8)


def in_threes(image, band):
    """A band as the first of three."""
    return np.ascontiguousarray(image[..., [band] * 3])


@pytest.mark.parametrize("size", [(20, 25), (90, 70), (40, 50), (17, 90)])
@pytest.mark.parametrize("crop", [None, (3, 4, 10, 12)])
def test_each_band_is_resized_as_a_colour_is(image, size, crop):
    transforms = [ResizeTransform(40, 50, *size)]
    if crop:
        transforms.append(CropTransform(*crop[:2], *crop[2:]))
    transform = fuse(transforms)
    resized = transform.apply_image(image)
    assert resized.shape == ((10, 12) if crop else size) + image.shape[2:]
    for band in range(image.shape[2]):
        expected = transform.apply_image(in_threes(image, band))
        assert np.array_equal(resized[..., band], expected[..., 0])


def test_flips_and_planes(image):
    for transform, axis in ((HFlipTransform(50), 1), (VFlipTransform(40), 0)):
        flipped = transform.apply_image(image)
        assert np.array_equal(flipped, np.flip(image, axis))
        planes = to_planes(flipped, "RGB").numpy()
        assert np.array_equal(planes, np.flip(image, axis).transpose(2, 0, 1))
    reversed_planes = to_planes(image, "BGR").numpy()
    order = slice(None, None, -1) if image.shape[2] == 3 else slice(None)
    assert np.array_equal(reversed_planes, image.transpose(2, 0, 1)[order])


def test_padding_is_the_mean_of_each_band(image):
    cfg = get_cfg()
    cfg.MODEL.PIXEL_MEAN = [10.0 + i for i in range(image.shape[2])]
    cfg.INPUT.CROP.SIZE = [60, 50]
    inputs = AugInput(image)
    PadToSize(cfg)(inputs, np.random.default_rng(0))
    means = cfg.MODEL.PIXEL_MEAN
    # PIXEL_MEAN is in the order of FORMAT, BGR, where there are colours.
    expected = means[::-1] if image.shape[2] == 3 else means
    assert inputs.image[-1, 0].tolist() == expected and np.array_equal(inputs.image[:40], image)


def test_brightness_and_contrast_of_each_band(image):
    changed = ColorTransform(brightness=0.5, contrast=1.0).apply_image(image)
    assert np.abs(changed - image * 0.5).max() <= 0.51
    if image.shape[2] != 3:
        flat = ColorTransform(contrast=0.0).apply_image(image)
        means = image.reshape(-1, image.shape[2]).mean(0)
        assert np.abs(flat - means).max() <= 0.5


def test_grey_has_neither_saturation_nor_hue():
    grey = np.random.default_rng(0).integers(0, 256, (9, 8, 1), dtype=np.uint8)
    assert np.array_equal(ColorTransform(saturation=0.2, hue=0.3).apply_image(grey), grey)


@pytest.mark.parametrize(("key", "channels"), [("SATURATION", 4), ("HUE", 2), ("HUE", 5)])
def test_colours_of_other_bands_are_told(key, channels):
    cfg = get_cfg()
    cfg.MODEL.PIXEL_MEAN = [1.0] * channels
    cfg.INPUT.COLOR_JITTER[key] = 0.1
    with pytest.raises(ValueError, match=rf"INPUT\.COLOR_JITTER has {key} 0\.1, .* {channels}"):
        ColorJitter(cfg)


def test_colours_of_chosen_bands_are_told():
    cfg = get_cfg()
    cfg.INPUT.BANDS = (3, 1, 0)
    cfg.INPUT.COLOR_JITTER.HUE = 0.1
    with pytest.raises(ValueError, match="need not be colours"):
        build_augmentations(cfg, is_train=True)


def test_torchvisions_transforms(image):
    inputs = AugInput(image, np.zeros((40, 50), np.uint8))
    for transform in (v2.RandomRotation(20), v2.RandomResizedCrop(32), v2.GaussianBlur(3)):
        TorchvisionAugmentation(transform)(inputs, np.random.default_rng(0))
    assert inputs.image.shape == (32, 32, image.shape[2])
    if image.shape[2] > 1:
        with pytest.raises(ValueError, match=rf"expected a tensor \({image.shape[2]}, H, W\)"):
            TorchvisionAugmentation(lambda s: {**s, "image": s["image"][:1]})(
                inputs, np.random.default_rng(0)
            )
