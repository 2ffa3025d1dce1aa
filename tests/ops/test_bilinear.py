import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segsuite.ops.bilinear import (
    half_pixel_positions,
    hat_weights,
    neighbours,
    pixels_up_to,
    positions_in_box,
)

counts = st.integers(1, 40)


@given(samples=counts, pixels=counts, seed=st.integers(0, 99))
def test_both_forms_are_pytorchs_interpolation(samples, pixels, seed):
    values = torch.randn(samples, generator=torch.Generator().manual_seed(seed)).double()
    expected = F.interpolate(values[None, None, None], (1, pixels), mode="bilinear").flatten()
    position = half_pixel_positions(torch.arange(pixels).double(), samples / pixels)
    low, high, weight = neighbours(position, samples)
    assert low.dtype == high.dtype == torch.int64
    assert int(low.min()) >= 0 and int(high.max()) < samples
    torch.testing.assert_close(torch.lerp(values[low], values[high], weight), expected)
    weights = hat_weights(position.clamp(0, samples - 1), samples)
    assert weights.shape == (pixels, samples)
    torch.testing.assert_close(weights @ values, expected)


def test_weights_fade_out_beyond_the_samples():
    position = torch.tensor([-1.5, -1.0, -0.25, 0.0, 1.5, 2.0, 2.75, 3.0])
    weights = hat_weights(position, 3)
    torch.testing.assert_close(
        weights.sum(1), torch.tensor([0.0, 0.0, 0.75, 1.0, 1.0, 1.0, 0.25, 0.0])
    )


@given(samples=counts, pixels=counts)
def test_a_box_around_all_pixels_is_the_whole_row(samples, pixels):
    row = torch.arange(pixels).double()
    low, high = torch.tensor([0.0, pixels], dtype=torch.float64)
    torch.testing.assert_close(
        positions_in_box(row, low, high, samples), half_pixel_positions(row, samples / pixels)
    )


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0, 1.5, 0.375])
@pytest.mark.parametrize("position", [0, 1, 7])
def test_pixels_up_to(scale, position):
    positions = half_pixel_positions(torch.arange(100).double(), scale)
    assert pixels_up_to(position, scale) == int((positions <= position).sum())
