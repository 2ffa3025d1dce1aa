"""Label maps are drawn as segsuite draws them; instances and segments are there at all."""

from __future__ import annotations

import numpy as np
import pytest

from segsuite.runtime.drawing import draw_instances, draw_panoptic, overlay
from segsuite.visualization.draw import overlay as expected_overlay

from .toys import metadata

COLORS = [(10, 20, 30), (200, 0, 90), (0, 255, 0)]


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (60, 500, 3), dtype=np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_overlay(image, dtype):
    labels = np.random.default_rng(1).integers(0, 5, (6, 50)).astype(dtype)
    labels = np.kron(labels, np.ones((10, 10), dtype))  # two of them are no classes
    assert np.array_equal(overlay(image, labels, COLORS), expected_overlay(image, labels, COLORS))


def test_instances(image):
    before = image.copy()
    boxes = np.array([[10, 28, 50, 48], [100.5, 5, 130, 30]], np.float32)
    windows = [(28, 10, np.ones((20, 40), bool)), (5, 100, np.zeros((0, 0), bool))]
    texts = ["a 90%", "much too long a text to stand beside its box, at the very left " * 3]
    drawn = draw_instances(image, boxes, windows=windows, texts=texts, colors=COLORS[:2])
    assert np.array_equal(image, before)
    assert (drawn[28, 12:48] == COLORS[0]).all()  # the outline
    mixed = 0.55 * image[38, 25] + 0.45 * np.array(COLORS[0])
    np.testing.assert_allclose(drawn[38, 25], mixed, atol=0.51)
    assert np.array_equal(drawn[52:, 150:], image[52:, 150:])
    without = draw_instances(image, boxes[:1], windows=None, texts=["a"], colors=COLORS[:1])
    assert np.array_equal(without[38, 25], image[38, 25])


def test_panoptic(image):
    ids = np.zeros(image.shape[:2], np.int32)
    ids[:, 100:200], ids[:, 200:] = 1, 2
    segments = [
        {"id": 1, "isthing": True, "category_id": 0, "score": 0.9},
        {"id": 2, "isthing": False, "category_id": 1, "area": 9},
        {"id": 3, "isthing": False, "category_id": 0, "area": 0},
    ]
    described = metadata(
        task="panoptic",
        classes=[],
        colors=[],
        thing_classes=["cat"],
        thing_colors=[[1, 2, 3]],
        stuff_classes=["things", "sky"],
        stuff_colors=[[0, 0, 0], [9, 99, 199]],
    )
    drawn = draw_panoptic(image, ids, segments, described)
    assert np.array_equal(drawn[:, :95], image[:, :95])
    expected = np.rint(0.45 * image[50, 450].astype(float) + 0.55 * np.array([9, 99, 199]))
    assert (drawn[50, 450] == expected).all()
