"""Convolutions prepared for inference: norms folded in, wide ones by Winograd's algorithm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import nn

from .conv import Conv2d
from .depthwise_conv import DepthwiseConv2d
from .frozen_batch_norm import FrozenBatchNorm2d
from .winograd import suits_winograd, winograd_conv3x3, winograd_weight

_BATCH_NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


def fold_convs(model: nn.Module) -> None:
    """Prepare the convolutions of `model` for evaluation without gradients, on its present weights.

    Batch norms become part of the weights: those in a `Conv2d`, and in an `nn.Sequential` those
    that follow a convolution. In float32 on a CPU, 3x3 convolutions of at least 256 channels take
    16 products for 36. Outputs are the same to rounding. Parameters and state dict stay as they
    are; the prepared weights are made when they are first used, and take as much memory again as
    the weights themselves, for Winograd's algorithm 1.8 times as much. In training mode, with
    gradients, and when compiled or exported, convolutions are computed as ever.

    Weights that are changed afterwards are not seen: see `folded_convs` for a limited time.
    """
    norms = {}  # by the convolution before them
    for module in model.modules():
        if isinstance(module, nn.Sequential):
            norms |= {a: b for a, b in pairwise(module) if isinstance(b, _BATCH_NORMS)}
    for conv in model.modules():
        if type(conv) not in (Conv2d, DepthwiseConv2d, nn.Conv2d):
            continue
        norm = conv.norm if type(conv) is Conv2d else norms.get(conv)
        conv.forward = FoldedConv(conv, norm if isinstance(norm, _BATCH_NORMS) else None)
        if conv in norms and type(conv) is not Conv2d:
            norms[conv].forward = _FoldedNorm(norms[conv], conv)


def unfold_convs(model: nn.Module) -> None:
    """Undo `fold_convs`."""
    for module in model.modules():
        if isinstance(module.__dict__.get("forward"), (FoldedConv, _FoldedNorm)):
            del module.forward


@contextmanager
def folded_convs(model: nn.Module) -> Iterator[None]:
    """`fold_convs` until the end of the context; the weights must not change meanwhile."""
    fold_convs(model)
    try:
        yield
    finally:
        unfold_convs(model)


class FoldedConv:
    """What `conv`, and `norm` behind it, compute in evaluation, on weights prepared once."""

    def __init__(self, conv: nn.Conv2d, norm: nn.Module | None):
        self.conv = conv
        self.norm = norm
        self._prepared: dict[tuple, tuple[torch.Tensor, torch.Tensor | None]] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        conv, device = self.conv, x.device.type
        if not _is_inference(conv):
            return type(conv).forward(conv, x)
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        by_winograd = (
            device == "cpu" and dtype == torch.float32 and suits_winograd(conv, x.shape[-2:])
        )
        key = dtype, x.device, by_winograd  # a model may be moved, and autocast now and then
        if key not in self._prepared:
            self._prepared[key] = self._prepare(dtype, by_winograd)
        weight, bias = self._prepared[key]
        if by_winograd:
            x = winograd_conv3x3(x, weight, bias, conv.dilation[0])
        else:
            x = conv._conv_forward(x, weight, bias)
        if type(conv) is not Conv2d:
            return x
        if self.norm is None:
            return conv.finish(x)
        return x if conv.activation is None else conv.activation(x)

    def _prepare(
        self, dtype: torch.dtype, by_winograd: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        weight, bias, norm = self.conv.weight, self.conv.bias, self.norm
        if norm is not None:
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            mean = norm.running_mean if bias is None else norm.running_mean - bias
            weight, bias = weight * scale.view(-1, 1, 1, 1), norm.bias - mean * scale
        if by_winograd:
            weight = winograd_weight(weight)
        return weight.to(dtype), None if bias is None else bias.to(dtype)


class _FoldedNorm:
    """Nothing, where the convolution before it has done it already."""

    def __init__(self, norm: nn.Module, conv: nn.Conv2d):
        self._norm, self._conv = norm, conv

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x if _is_inference(self._conv) else type(self._norm).forward(self._norm, x)


def _is_inference(module: nn.Module) -> bool:
    return not (module.training or torch.is_grad_enabled() or torch.compiler.is_compiling())
