import numpy as np
import pytest

from segsuite.data.palette import default_colors, perceived


def test_grey_looks_grey_to_everyone():
    seen = perceived([(0, 0, 0), (128, 128, 128), (255, 255, 255)])
    np.testing.assert_allclose(seen[:, :, 0], np.repeat([[0], [0.5999], [1]], 3, axis=1), atol=1e-3)
    np.testing.assert_allclose(seen[:, :, 1:], 0, atol=1e-3)


def test_red_and_green_are_close_without_red_or_green_cones():
    red, green = perceived([(200, 60, 60), (110, 130, 60)])
    normal, protanopia, deuteranopia = np.linalg.norm(red - green, axis=-1)
    assert protanopia < 0.6 * normal and deuteranopia < 0.6 * normal


@pytest.mark.parametrize(("count", "least"), [(7, 0.07), (21, 0.07), (64, 0.035), (150, 0.02)])
def test_colors_stay_apart_for_every_vision(count, least):
    seen = perceived(default_colors(count))
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1).min(axis=-1)
    assert distance[~np.eye(count, dtype=bool)].min() > least


def test_a_longer_palette_begins_with_the_shorter():
    long = default_colors(200)
    assert [default_colors(n) for n in (0, 1, 8, 65)] == [long[:n] for n in (0, 1, 8, 65)]
    assert len(set(long)) == 200
    assert all(isinstance(x, int) and 0 <= x <= 255 for color in long for x in color)
