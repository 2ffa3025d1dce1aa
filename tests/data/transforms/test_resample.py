from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segsuite.data.transforms import resample
from segsuite.data.transforms.resample import resize_bilinear, resize_nearest
from segsuite.ops import EXTENSION_LOADED

EXTENSION = [False, True] if EXTENSION_LOADED else [False]


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


@pytest.mark.parametrize("with_extension", EXTENSION)
@given(case=resized_windows())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bilinear_is_pillows_bit_for_bit(case, with_extension, monkeypatch):
    image, size, window = case
    along_x = Image.fromarray(image).resize((size[1], image.shape[0]), Image.Resampling.BILINEAR)
    whole = np.asarray(along_x.resize(size[::-1], Image.Resampling.BILINEAR))
    monkeypatch.setattr(resample, "EXTENSION_LOADED", with_extension)
    assert np.array_equal(resize_bilinear(image, size), whole)
    assert np.array_equal(resize_bilinear(image, size, window), cut(whole, window))


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


@pytest.mark.parametrize("with_extension", EXTENSION)
@pytest.mark.parametrize("old", [(360, 480), (480, 360), (427, 640)])
@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 1.3, 1.91])
def test_usual_images_are_those_of_one_pillow_resize(old, scale, with_extension, monkeypatch):
    monkeypatch.setattr(resample, "EXTENSION_LOADED", with_extension)
    image = np.random.default_rng(0).integers(0, 256, (*old, 3), dtype=np.uint8)
    size = (int(old[0] * scale + 0.5), int(old[1] * scale + 0.5))
    window = (size[0] // 3, size[1] // 4, size[0] // 2, size[1] // 2)
    whole = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    assert np.array_equal(resize_bilinear(image, size, window), cut(whole, window))


def test_shrinking_averages():
    image = np.zeros((40, 40, 3), np.uint8)
    image[::2] = 255
    inner = resize_bilinear(image, (10, 10))[1:-1, 1:-1]
    assert abs(inner.astype(int) - 128).max() <= 16, "an aliased resize would give 0 or 255"
