import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segsuite.acceleration import accelerate
from segsuite.layers import Conv2d

GEOMETRIES = [(3, 1, 1), (3, 2, 1), (3, 1, 3), (5, 1, 1), (5, 2, 1), (5, 1, 2), (1, 1, 1)]


def depthwise(channels, kernel_size, stride=1, dilation=1, **options):
    conv = nn.Conv2d(
        *(channels, channels, kernel_size, stride, dilation * (kernel_size // 2)),
        dilation=dilation,
        groups=channels,
        **options,
    )
    accelerate(conv)
    return conv


@pytest.mark.parametrize("kernel_size, stride, dilation", GEOMETRIES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_and_gradients(kernel_size, stride, dilation, bias, dtype):
    torch.manual_seed(0)
    conv = depthwise(6, kernel_size, stride, dilation, bias=bias, dtype=dtype)
    x = torch.randn(2, 6, 13, 10, dtype=dtype, requires_grad=True)
    found = conv(x)
    is_ours = kernel_size == 5 or stride > 1 or dilation > 1
    assert ("_DepthwiseConv" in type(found.grad_fn).__name__) == is_ours
    expected = F.conv2d(
        x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, groups=6
    )
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    inputs = [x, *conv.parameters()]
    wanted = torch.autograd.grad((expected * weights).sum(), inputs)
    got = torch.autograd.grad((found * weights).sum(), inputs)
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kernel_size, stride, dilation", GEOMETRIES)
def test_autocast(kernel_size, stride, dilation):
    """Gradients in bfloat16 are as close to those in float32 as the type allows."""
    torch.manual_seed(0)
    conv = depthwise(6, kernel_size, stride, dilation)
    x = torch.randn(2, 6, 12, 10, requires_grad=True)
    inputs = [x, *conv.parameters()]
    expected = torch.autograd.grad(conv(x).square().sum(), inputs)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    assert y.dtype == torch.bfloat16
    found = torch.autograd.grad(y.float().square().sum(), inputs)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.02 * float(b.abs().max()))


def test_fixed_weights():
    conv = depthwise(4, 5).requires_grad_(False)
    x = torch.randn(1, 4, 5, 5, requires_grad=True)
    conv(x).sum().backward()
    assert x.grad is not None and conv.weight.grad is None
    conv.requires_grad_(True)
    conv(x.detach()).sum().backward()
    assert conv.weight.grad is not None


def test_a_block_of_ours_has_them():
    torch.manual_seed(0)
    block = Conv2d(4, 4, 3, dilation=2, groups=4, norm="BN")
    accelerate(block)
    x, weights = torch.randn(2, 4, 9, 9), torch.randn(2, 4, 9, 9)
    y = F.conv2d(x, block.weight, padding=2, dilation=2, groups=4)
    (wanted,) = torch.autograd.grad((block.norm(y) * weights).sum(), block.weight)
    (found,) = torch.autograd.grad((block(x) * weights).sum(), block.weight)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    block.norm = None
    assert "_DepthwiseConv" in type(block(x).grad_fn).__name__


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"padding": 2, "padding_mode": "reflect"},
        {"padding": 5},
        {"padding": 2, "groups": 2},
        {"kernel_size": 3, "padding": 1},
    ],
)
def test_other_convolutions_are_left_alone(options):
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, **{"kernel_size": 5, "groups": 4, **options})
    x = torch.randn(1, 4, 6, 6, requires_grad=True)
    expected = conv(x)
    (wanted,) = torch.autograd.grad(expected.square().sum(), x)
    accelerate(conv)
    found = conv(x)
    assert "_DepthwiseConv" not in type(found.grad_fn).__name__
    (got,) = torch.autograd.grad(found.square().sum(), x)
    torch.testing.assert_close((found, got), (expected, wanted))


def test_an_image_without_a_batch():
    conv = depthwise(4, 5)
    x = torch.randn(4, 6, 6)
    torch.testing.assert_close(conv(x), conv(x[None])[0])
