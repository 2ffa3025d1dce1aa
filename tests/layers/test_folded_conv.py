import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segsuite.layers import Conv2d, FrozenBatchNorm2d, fold_convs, folded_convs


def randomise(model):
    torch.manual_seed(0)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            nn.init.uniform_(value, 0.5 if name.endswith("running_var") else -0.5, 1)
    return model


@pytest.mark.parametrize("norm", ["", "BN", "SyncBN", "FrozenBN", "GN", "LN"])
@pytest.mark.parametrize("channels", [8, 256])
@pytest.mark.parametrize("stride, groups", [(1, 1), (2, 1), (1, 4)])
def test_the_same_outputs(norm, channels, stride, groups):
    conv = Conv2d(
        *(channels, channels, 3), stride=stride, groups=groups, norm=norm, activation=F.relu
    )
    randomise(conv).eval()
    x = torch.randn(2, channels, 9, 11)
    before = copy.deepcopy(conv.state_dict())
    with torch.no_grad():
        expected = conv(x)
        with folded_convs(conv):
            found = conv(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))
    assert before.keys() == conv.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in conv.state_dict().items())


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, FrozenBatchNorm2d, nn.InstanceNorm2d])
@pytest.mark.parametrize("bias", [False, True])
def test_norms_behind_convolutions_in_a_sequence(norm, bias):
    model = nn.Sequential(
        *(nn.Conv2d(3, 256, 3, padding=1, bias=bias), norm(256), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=2, dilation=2, bias=bias), norm(256)),
        nn.Conv2d(256, 4, 1),
    )
    randomise(model).eval()
    x = torch.randn(2, 3, 9, 8)
    with torch.no_grad():
        expected = model(x)
        with folded_convs(model):
            found = model(x)
        after = model(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    torch.testing.assert_close(after, expected, rtol=0, atol=0)
    assert "forward" not in model[0].__dict__ and "forward" not in model[1].__dict__


def test_a_wide_layer_takes_winograds_algorithm(monkeypatch):
    """In float32 on a CPU; other layers, and bfloat16, do not."""
    called = []
    monkeypatch.setattr(
        "segsuite.layers.folded_conv.winograd_conv3x3",
        lambda x, *args: called.append(x.dtype) or x.clone(),
    )
    for conv in (Conv2d(256, 128, 3), Conv2d(256, 256, 1), Conv2d(256, 256, 3, stride=2)):
        fold_convs(conv.eval())
        with torch.no_grad():
            conv(torch.randn(1, 256, 8, 8))
    assert not called
    conv = Conv2d(256, 256, 3, dilation=2).eval()
    fold_convs(conv)
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            conv(torch.randn(1, 256, 8, 8))
        assert not called
        conv(torch.randn(1, 256, 8, 8))
    assert called == [torch.float32]


def test_autocast():
    conv = randomise(Conv2d(16, 32, 3, norm="BN")).eval()
    x = torch.randn(1, 16, 8, 8)
    with torch.inference_mode():
        expected = conv(x)
        with folded_convs(conv), torch.autocast("cpu", torch.bfloat16):
            found = conv(x)
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.3)
        with folded_convs(conv):  # both types of one model
            torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-4)


def test_training_and_gradients_do_not_see_it():
    conv = randomise(Conv2d(4, 4, 3, norm="BN"))
    x = torch.randn(2, 4, 6, 6)
    with folded_convs(conv):
        nn.init.zeros_(conv.weight)  # a change that the prepared weights would miss
        conv.eval()
        with_gradients = conv(x)
        conv.train()
        with torch.no_grad():
            in_training = conv(x)
    torch.testing.assert_close(in_training, conv.norm.bias.view(1, -1, 1, 1).expand_as(x))
    assert with_gradients.requires_grad and with_gradients.std() > 0


def test_it_ends_with_the_context():
    conv = randomise(Conv2d(4, 4, 3, norm="BN")).eval()
    x = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        with folded_convs(conv):
            before = conv(x)
        nn.init.zeros_(conv.weight)
        assert not torch.equal(conv(x), before)
        with folded_convs(conv):
            assert not torch.equal(conv(x), before)


def test_export_and_compile_see_the_convolution():
    model = nn.Sequential(Conv2d(3, 4, 3, norm="BN")).eval()
    x = torch.randn(1, 3, 8, 8)
    with folded_convs(model), torch.no_grad():
        graph = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(graph(x), model(x))
