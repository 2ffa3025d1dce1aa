"""Convolutions prepared for inference: norms folded in, wide ones by Winograd's algorithm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .conv import Conv2d
from .frozen_batch_norm import FrozenBatchNorm2d
from .winograd import winograd_conv3x3, winograd_weight

# Channels from which Winograd's algorithm is faster on a CPU.
_WIDE = 256


def fold_convs(model: nn.Module) -> None:
    """Prepare every `Conv2d` of `model` for evaluation without gradients, on its present weights.

    Batch norms become part of the weights, and in float32 on a CPU 3x3 convolutions of at least
    256 channels take 16 products for 36. Outputs are the same to rounding. The parameters and the
    state dict stay as they are; the prepared weights are made when they are first used, and take
    as much memory again as the weights themselves, for Winograd's 1.8 times as much. In training
    mode, with gradients, and when compiled or exported, convolutions are computed as ever.

    Weights that are changed afterwards are not seen: see `folded_convs` for a limited time.
    """
    for module in model.modules():
        if isinstance(module, Conv2d):
            module.folded = FoldedConv(module)


@contextmanager
def folded_convs(model: nn.Module) -> Iterator[None]:
    """`fold_convs`, undone at the end; the weights must not change meanwhile."""
    fold_convs(model)
    try:
        yield
    finally:
        for module in model.modules():
            if isinstance(module, Conv2d):
                module.folded = None


class FoldedConv:
    """What `conv` computes in evaluation, on weights that are prepared once for each type."""

    def __init__(self, conv: Conv2d):
        self._conv = conv
        self._folds_norm = isinstance(conv.norm, (FrozenBatchNorm2d, _BatchNorm))
        self._is_wide = (
            conv.kernel_size == (3, 3)
            and conv.stride == (1, 1)
            and conv.groups == 1
            and min(conv.in_channels, conv.out_channels) >= _WIDE
        )
        self._prepared: dict[torch.dtype, tuple[torch.Tensor, torch.Tensor | None]] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        conv, device = self._conv, x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        by_winograd = self._is_wide and device == "cpu" and dtype == torch.float32
        if dtype not in self._prepared:
            self._prepared[dtype] = self._prepare(dtype, by_winograd)
        weight, bias = self._prepared[dtype]
        if by_winograd:
            x = winograd_conv3x3(x, weight, bias, conv.dilation[0])
        else:
            x = conv._conv_forward(x, weight, bias)
        if self._folds_norm:
            return x if conv.activation is None else conv.activation(x)
        return conv.finish(x)

    def _prepare(
        self, dtype: torch.dtype, by_winograd: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        weight, bias = self._conv.weight, self._conv.bias
        if self._folds_norm:
            norm = self._conv.norm
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            weight, bias = weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale
        if by_winograd:
            weight = winograd_weight(weight)
        return weight.to(dtype), None if bias is None else bias.to(dtype)
