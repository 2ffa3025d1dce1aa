import pytest
import torch
from torch import nn

from segsuite.layers import Conv2d, FrozenBatchNorm2d, SyncBatchNorm2d, get_norm


@pytest.mark.parametrize("name", ["BN", "SyncBN", "FrozenBN", "GN", "LN"])
def test_every_norm_keeps_the_shape(name):
    x = torch.randn(2, 32, 5, 7)
    assert get_norm(name, 32)(x).shape == x.shape


def test_names():
    assert get_norm("", 8) is None
    with pytest.raises(KeyError, match=r"Did you mean .*SyncBN"):
        get_norm("syncbn", 8)


@pytest.mark.parametrize("channels, groups", [(64, 32), (48, 16), (8, 8), (7, 1)])
def test_group_norm_of_narrow_layers(channels, groups):
    assert get_norm("GN", channels).num_groups == groups


def test_layer_norm_is_of_each_pixel():
    x = 3 * torch.randn(2, 5, 4, 3) + 1
    norm = get_norm("LN", 5)
    deviations = x - x.mean(1, keepdim=True)
    expected = deviations / (deviations.square().mean(1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(norm(x), expected)
    assert set(norm.state_dict()) == {"weight", "bias"}


def trained_batch_norm(channels=6):
    bn = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for tensor in (bn.weight, bn.bias, bn.running_mean, bn.running_var):
            tensor.uniform_(0.5, 2)
    return bn.eval()


def test_frozen_batch_norm_loads_batch_norm():
    bn = trained_batch_norm()
    frozen = FrozenBatchNorm2d(6)
    frozen.load_state_dict(bn.state_dict())
    assert set(frozen.state_dict()) == {"weight", "bias", "running_mean", "running_var"}
    assert not list(frozen.parameters())
    x = torch.randn(2, 6, 4, 4)
    torch.testing.assert_close(frozen.train()(x), bn(x))
    bn.load_state_dict(frozen.state_dict())


def test_frozen_batch_norm_of_an_affine_checkpoint():
    """The statistics of what was loaded before do not stay."""
    frozen = FrozenBatchNorm2d(6)
    frozen.load_state_dict(trained_batch_norm().state_dict())
    weight, bias = torch.rand(6), torch.rand(6)
    frozen.load_state_dict({"weight": weight, "bias": bias})
    x = torch.randn(2, 6, 4, 4)
    torch.testing.assert_close(frozen(x), x * weight.view(-1, 1, 1) + bias.view(-1, 1, 1))
    with pytest.raises(RuntimeError, match="running_var"):
        frozen.load_state_dict({})


def test_convert():
    bn = trained_batch_norm()
    model = nn.Sequential(Conv2d(3, 6, 3, norm="SyncBN"), nn.Sequential(bn), nn.ReLU())
    x = torch.randn(2, 3, 8, 8)
    expected = model.eval()(x)
    assert FrozenBatchNorm2d.convert(model) is model
    assert isinstance(model[0].norm, FrozenBatchNorm2d)
    assert isinstance(model[1][0], FrozenBatchNorm2d)
    torch.testing.assert_close(model.train()(x), expected)
    assert isinstance(FrozenBatchNorm2d.convert(bn), FrozenBatchNorm2d)


def test_convert_leaves_norms_without_statistics():
    model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False))
    assert isinstance(FrozenBatchNorm2d.convert(model)[0], nn.BatchNorm2d)


def test_sync_batch_norm_in_one_process_is_batch_norm():
    sync, bn = SyncBatchNorm2d(4), nn.BatchNorm2d(4)
    x = torch.randn(3, 4, 5, 5)
    assert torch.equal(sync(x), bn(x))
    assert sync.state_dict().keys() == bn.state_dict().keys()
    assert torch.equal(sync.running_var, bn.running_var)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sync_batch_norm_of_several_processes_in_one(dtype, monkeypatch):
    """The synchronised path, with sums that are already complete."""
    monkeypatch.setattr("segsuite.utils.comm.get_world_size", lambda: 2)
    monkeypatch.setattr("segsuite.utils.comm.all_reduce_sum_", lambda tensor: tensor)
    sync, bn = SyncBatchNorm2d(4), nn.BatchNorm2d(4)
    x = (torch.randn(3, 4, 5, 5) * 2 + 10).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    out, expected = sync(x), bn(x)
    assert out.dtype == dtype and out.is_contiguous(memory_format=torch.channels_last)
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    for name, statistic in bn.named_buffers():
        torch.testing.assert_close(sync.get_buffer(name), statistic)
