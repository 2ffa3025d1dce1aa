from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from segsuite.data.transforms import ColorTransform


@pytest.fixture
def image():
    # Values well inside 0-255, so that nothing is clipped on the way.
    return np.random.default_rng(0).integers(90, 150, (24, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
@pytest.mark.parametrize("factor", [0.6, 1.3])
def test_factors_are_pillows_to_rounding(image, name, enhancer, factor):
    expected = np.asarray(enhancer(Image.fromarray(image)).enhance(factor)).astype(int)
    found = ColorTransform(**{name: factor}).apply_image(image).astype(int)
    assert abs(found - expected).max() <= 1


def test_nothing_to_change(image):
    assert ColorTransform().apply_image(image) is image


def test_hue_turns_red_to_green():
    red = np.full((2, 2, 3), (200, 10, 10), np.uint8)
    turned = ColorTransform(hue=1 / 3).apply_image(red)
    assert abs(turned.astype(int) - (10, 200, 10)).max() <= 2
    back = ColorTransform(hue=-1 / 3).apply_image(turned)
    assert abs(back.astype(int) - red).max() <= 4


def test_labels_keep_their_values():
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert ColorTransform(brightness=0.5).apply_segmentation(labels) is labels
