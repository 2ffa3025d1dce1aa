from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segsuite.data.transforms.resample import resize_bilinear, resize_nearest


@st.composite
def resized_windows(draw):
    """A random image, a size, and a window of that size."""
    old = draw(st.tuples(*[st.integers(1, 60)] * 2))
    new = draw(st.tuples(*[st.integers(1, 90)] * 2))
    height, width = draw(st.integers(1, new[0])), draw(st.integers(1, new[1]))
    y, x = draw(st.integers(0, new[0] - height)), draw(st.integers(0, new[1] - width))
    seed = draw(st.integers(0, 2**32 - 1))
    image = np.random.default_rng(seed).integers(0, 256, (*old, 3), dtype=np.uint8)
    return image, new, (y, x, height, width)


def cut(array, window):
    y, x, height, width = window
    return array[y : y + height, x : x + width]


@given(resized_windows())
def test_bilinear_is_pillows_bit_for_bit(case):
    image, size, window = case
    whole = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    assert np.array_equal(resize_bilinear(image, size), whole)
    assert np.array_equal(resize_bilinear(image, size, window), cut(whole, window))
    assert np.array_equal(resize_bilinear(image[..., 0], size, window), cut(whole[..., 0], window))


@given(resized_windows())
def test_nearest_is_pillows(case):
    image, size, window = case
    labels = image[..., 0]
    whole = np.asarray(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))
    assert np.array_equal(resize_nearest(labels, size), whole)
    assert np.array_equal(resize_nearest(labels, size, window), cut(whole, window))
    wide = labels.astype(np.int32) - 1000
    resized = resize_nearest(wide, size, window)
    assert resized.dtype == np.int32 and np.array_equal(resized + 1000, cut(whole, window))


@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 1.3, 1.91])
def test_at_the_size_of_street_scenes(scale):
    image = np.random.default_rng(0).integers(0, 256, (360, 480, 3), dtype=np.uint8)
    size = (int(360 * scale + 0.5), int(480 * scale + 0.5))
    window = (size[0] // 3, size[1] // 4, size[0] // 2, size[1] // 2)
    whole = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    assert np.array_equal(resize_bilinear(image, size, window), cut(whole, window))


def test_shrinking_averages():
    image = np.zeros((40, 40, 3), np.uint8)
    image[::2] = 255
    inner = resize_bilinear(image, (10, 10))[1:-1, 1:-1]
    assert abs(inner.astype(int) - 128).max() <= 16, "an aliased resize would give 0 or 255"
