"""`CNNBlockBase`: what a block of a convolutional network says about itself."""

from __future__ import annotations

from torch import nn

from .frozen_batch_norm import FrozenBatchNorm2d


class CNNBlockBase(nn.Module):
    """A block from (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride).

    Args:
        in_channels, out_channels, stride: of the whole block; attributes of the same names.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.stride = stride

    def freeze(self) -> CNNBlockBase:
        """Fix all parameters, and make batch norms `FrozenBatchNorm2d`; returns the block."""
        self.requires_grad_(False)
        FrozenBatchNorm2d.convert(self)
        return self
