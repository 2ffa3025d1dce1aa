import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from segsuite.acceleration import accelerate, winograd
from segsuite.acceleration.winograd import winograd_conv3x3, winograd_weight
from segsuite.layers import Conv2d


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
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found._base is None


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("norm", ["", "BN", "FrozenBN"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_of_a_wide_layer(dilation, norm, memory_format):
    torch.manual_seed(0)
    conv = Conv2d(256, 256, 3, dilation=dilation, norm=norm, activation=F.relu_)
    conv.to(memory_format=memory_format)
    accelerate(conv)
    x = torch.randn(2, 256, 8, 8).contiguous(memory_format=memory_format).requires_grad_()
    inputs = [x, *conv.parameters()]
    found = conv(x)
    expected = F.conv2d(x, conv.weight, conv.bias, padding=dilation, dilation=dilation)
    expected = conv.finish(expected)
    limit = 1e-5 * float(expected.detach().abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=limit)
    weights = torch.randn_like(found)
    for got, want in zip(
        torch.autograd.grad((found * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=2e-5 * float(want.abs().max()))


def test_only_wide_layers_in_float32_on_a_cpu_are_trained_so():
    def function(conv, x):
        accelerate(conv)
        return type(conv(x).grad_fn).__name__

    x = torch.randn(1, 256, 8, 8)
    assert "Winograd" in function(Conv2d(256, 256, 3), x)
    assert "Winograd" not in function(Conv2d(256, 128, 3), x)
    assert "Winograd" not in function(Conv2d(256, 256, 3, dilation=8), x)
    assert "Winograd" not in function(Conv2d(256, 256, 3), x[..., :3, :3]), "mostly padding"
    assert "Winograd" not in function(Conv2d(256, 256, 3, stride=2), x)
    assert "Winograd" not in function(Conv2d(256, 256, 3).double(), x.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert "Winograd" not in function(Conv2d(256, 256, 3), x)
    plain = nn.Conv2d(256, 256, 3, padding=1)
    assert "Winograd" not in type(plain(x).grad_fn).__name__
    assert "Winograd" in function(plain, x)
    assert "Winograd" not in function(plain, x[0])


def test_precision():
    """Float32 stays within a few roundings of float64, relative to the largest output."""
    torch.manual_seed(0)
    x, weight = torch.randn(1, 256, 20, 24), torch.randn(256, 256, 3, 3)
    expected = F.conv2d(x.double(), weight.double(), padding=1)
    found = winograd_conv3x3(x, winograd_weight(weight), None)
    assert (found - expected).abs().max() < 3e-6 * expected.abs().max()
