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


@pytest.mark.parametrize("norm", ["FrozenBN", "GN", "LN"])
def test_other_norms(norm):
    torch.manual_seed(0)
    conv = Conv2d(3, 8, 3, norm=norm, activation=F.relu)
    for value in conv.norm.state_dict().values():
        nn.init.uniform_(value, 0.5, 2)
    x = torch.randn(2, 3, 9, 9)
    expected = F.relu(conv.norm(F.conv2d(x, conv.weight, padding=1)))
    torch.testing.assert_close(conv(x), expected)


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
