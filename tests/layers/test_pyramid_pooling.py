import torch
import torch.nn.functional as F

from segsuite.layers import PooledConv2d, PyramidPooling


@torch.no_grad()
def test_joins_the_means_of_every_grid():
    pooling = PyramidPooling(3, 2, bins=(1, 2), norm="")
    x = torch.randn(2, 3, 4, 8)
    out = pooling(x)
    assert out.shape == (2, pooling.out_channels, 4, 8) and torch.equal(out[:, :3], x)
    whole = F.relu(F.conv2d(x.mean((2, 3), keepdim=True), *pooling[0].parameters()))
    torch.testing.assert_close(out[:, 3:5], whole.expand(-1, -1, 4, 8))
    halves = x.unflatten(2, (2, 2)).unflatten(4, (2, 4)).mean((3, 5))
    halves = F.relu(F.conv2d(halves, *pooling[1].parameters()))
    torch.testing.assert_close(out[:, 5:, [0, -1]][..., [0, -1]], halves)


def test_a_single_mean_is_normalised_by_the_running_statistics():
    conv = PooledConv2d(3, 4)
    conv.norm.running_mean.uniform_(-1, 1)
    x = torch.randn(1, 3, 1, 1)
    assert torch.equal(conv(x), conv.eval()(x))
    two = torch.randn(2, 3, 1, 1)
    assert not torch.allclose(conv.train()(two), conv.eval()(two))
