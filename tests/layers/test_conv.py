import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segsuite.layers import Conv2d


def test_order_and_names():
    conv = Conv2d(3, 8, 3, norm="BN", activation=F.relu).eval()
    assert [name for name, _ in conv.named_parameters()] == ["weight", "norm.weight", "norm.bias"]
    nn.init.normal_(conv.norm.bias)
    x = torch.randn(1, 3, 9, 9)
    expected = F.relu(conv.norm(F.conv2d(x, conv.weight, padding=1)))
    torch.testing.assert_close(conv(x), expected)


@pytest.mark.parametrize("activation", [None, F.relu])
def test_a_frozen_norm_is_folded_into_the_convolution(activation):
    """The same outputs and gradients, and the state dict is left alone."""
    conv = Conv2d(3, 8, 3, norm="FrozenBN", activation=activation)
    for name, buffer in conv.norm.named_buffers():
        nn.init.uniform_(buffer, 0.5 if name == "running_var" else -1, 2)
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    x = torch.randn(2, 3, 9, 9)
    expected = conv.norm(F.conv2d(x, conv.weight, padding=1))
    expected = expected if activation is None else activation(expected)
    found = conv(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn_like(found)
    (want,) = torch.autograd.grad((expected * weights).sum(), conv.weight)
    (got,) = torch.autograd.grad((found * weights).sum(), conv.weight)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(before[name], value) for name, value in conv.state_dict().items())


def test_bias_without_norm():
    conv = Conv2d(3, 8, 1)
    assert conv.norm is None and (conv.bias == 0).all()


@pytest.mark.parametrize("kernel_size, dilation", [(1, 1), (3, 1), (3, 4), (7, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_same(kernel_size, dilation, stride):
    conv = Conv2d(1, 1, kernel_size, dilation=dilation, stride=stride)
    size = conv(torch.zeros(1, 1, 15, 16)).shape[-2:]
    assert size == (-(-15 // stride), -(-16 // stride))


def test_initialisation():
    conv = Conv2d(64, 128, 3)
    assert conv.weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
