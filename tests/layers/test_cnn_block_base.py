from __future__ import annotations

import pytest
import torch

from segsuite.layers import CNNBlockBase, Conv2d, FrozenBatchNorm2d
from segsuite.modeling import BasicBlock, BottleneckBlock, make_stage


class Block(CNNBlockBase):
    def __init__(self, in_channels, out_channels, *, stride=1, dilation=1):
        super().__init__(in_channels, out_channels, stride)
        self.conv = Conv2d(in_channels, out_channels, 3, stride=stride, norm="BN")

    def forward(self, x):
        return self.conv(x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Block(3, 8, stride=2),
        lambda: BasicBlock(3, 8, stride=2),
        lambda: BottleneckBlock(3, 8, bottleneck_channels=4, stride=2),
    ],
)
class TestBlocks:
    def test_say_what_they_do(self, make):
        block = make()
        assert (block.in_channels, block.out_channels, block.stride) == (3, 8, 2)
        assert block(torch.randn(2, 3, 6, 8)).shape == (2, 8, 3, 4)

    def test_frozen(self, make):
        block = make()
        x = torch.randn(2, 3, 6, 8)
        for _ in range(3):
            block(x)  # statistics of its own
        expected = block.eval()(x)
        assert block.train().freeze() is block
        assert not any(p.requires_grad for p in block.parameters())
        assert any(isinstance(m, FrozenBatchNorm2d) for m in block.modules())
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)


def test_a_stage_of_blocks_of_ones_own():
    stage = make_stage(Block, 3, 8, stride=2, dilations=(1, 1))
    assert [(b.in_channels, b.stride) for b in stage] == [(3, 2), (8, 1)]
