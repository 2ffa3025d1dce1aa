import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segsuite.layers import winograd
from segsuite.layers.winograd import winograd_conv3x3, winograd_weight


@given(
    n=st.integers(1, 3),
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    dilation=st.integers(1, 4),
    tiles=st.sampled_from([1, 3, 8, 1024]),
    has_bias=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_it_is_a_convolution(n, height, width, dilation, tiles, has_bias, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 5, height, width, generator=generator)
    weight = torch.randn(4, 5, 3, 3, generator=generator)
    bias = torch.randn(4, generator=generator) if has_bias else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "_TILES_AT_ONCE", tiles)
        found = winograd_conv3x3(x, winograd_weight(weight), bias, dilation)
    expected = F.conv2d(x, weight, bias, padding=dilation, dilation=dilation)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert found.permute(0, 2, 3, 1)[0].stride(-1) == 1


def test_precision():
    """Float32 stays within a few roundings of float64, relative to the largest output."""
    torch.manual_seed(0)
    x, weight = torch.randn(1, 256, 20, 24), torch.randn(256, 256, 3, 3)
    expected = F.conv2d(x.double(), weight.double(), padding=1)
    found = winograd_conv3x3(x, winograd_weight(weight), None)
    assert (found - expected).abs().max() < 3e-6 * expected.abs().max()
