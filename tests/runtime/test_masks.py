"""Masks are pasted as `ROIMasks` pastes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segsuite.runtime.masks import paste_windows, whole_pixel_boxes
from segsuite.structures import ROIMasks
from segsuite.structures import whole_pixel_boxes as expected_boxes


@pytest.fixture
def detections():
    draw = np.random.default_rng(0)
    corners = draw.uniform(0, 1, (60, 2, 2)) * [90, 70]
    boxes = np.concatenate([corners.min(1), corners.max(1) + 0.01], axis=1).clip(0, [90, 70] * 2)
    return draw.random((60, 14, 14), np.float32), boxes.astype(np.float32)


def test_windows(detections):
    probabilities, boxes = detections
    masks = ROIMasks(torch.from_numpy(probabilities), torch.from_numpy(boxes), (70, 90))
    for ours, theirs in zip(
        paste_windows(probabilities, boxes, (70, 90)), masks.windows(), strict=True
    ):
        assert ours[:2] == theirs[:2]
        # The sums of 14 products may round differently where a value is at the threshold.
        assert ours[2].shape == tuple(theirs[2].shape)
        assert (ours[2] != theirs[2].numpy()).mean() < 1e-3


def test_whole_pixels(detections):
    _, boxes = detections
    expected = expected_boxes(torch.from_numpy(boxes), 14)
    np.testing.assert_allclose(whole_pixel_boxes(boxes, 14), expected.numpy(), rtol=1e-6)


def test_none():
    assert not list(paste_windows(np.zeros((0, 7, 7)), np.zeros((0, 4)), (5, 5)))
