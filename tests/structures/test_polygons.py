"""Polygons that would end the process in C code are refused or cut off before they get there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segsuite.errors import DataError
from segsuite.structures import PolygonMasks, rasterize_polygons, to_rle
from segsuite.structures.polygons import check_mask_size, cut_off, reach

HEIGHT, WIDTH = 30, 40


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, "x", None, [1]])
def test_values_that_are_no_numbers(value):
    polygon = [1, 2, value, 4, 5, 6]
    for draw in (
        lambda: rasterize_polygons([[polygon]], HEIGHT, WIDTH),
        lambda: to_rle([polygon], HEIGHT, WIDTH),
        lambda: PolygonMasks([[np.array(polygon, float)]]),
    ):
        with pytest.raises((DataError, TypeError, OverflowError, ValueError)):
            draw()


@pytest.mark.parametrize("far", [1e6, 2e8, 3e8, 1e300])
def test_what_reaches_far_is_drawn_as_its_part_in_the_image(far):
    """A band of rows 10 to 20 from column 5 on, however far it goes."""
    polygon = [5, 10, far, 10, far, 20, 5, 20]
    expected = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    expected[10:20, 5:] = True
    assert torch.equal(rasterize_polygons([[polygon]], HEIGHT, WIDTH)[0], expected)
    assert coco_mask.area(to_rle([polygon], HEIGHT, WIDTH)) == expected.sum()
    beyond = [far, far, far + 5, far, far, far * 1.5]
    drawn = rasterize_polygons([[beyond], [polygon]], HEIGHT, WIDTH)
    assert not drawn[0].any() and torch.equal(drawn[1], expected)
    assert coco_mask.area(to_rle([beyond], HEIGHT, WIDTH)) == 0


@given(st.lists(st.integers(-100, 140), min_size=6, max_size=12).filter(lambda p: len(p) % 2 == 0))
def test_a_polygon_that_is_cut_off_covers_the_same_pixels(values):
    points = np.array(values, float)
    clipped = cut_off(points, HEIGHT, WIDTH)
    whole = rasterize_polygons([[points]], HEIGHT, WIDTH)
    part = rasterize_polygons([[clipped] if len(clipped) else []], HEIGHT, WIDTH)
    assert (whole != part).sum() <= 20  # thin ones, whose edges are rounded from another start
    assert np.abs(clipped).max(initial=0) <= reach(HEIGHT, WIDTH)


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (1 << 16, 1 << 16)])
def test_sizes_that_have_no_run_lengths(size):
    with pytest.raises(DataError, match=r"pixels \(height x width\)"):
        check_mask_size(*size)
