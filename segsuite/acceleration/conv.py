"""Convolutions with their norms: for training by faster kernels, for inference prepared once."""

from __future__ import annotations

from typing import TypeAlias, TypeGuard

import torch
from torch import nn

from segsuite.layers import Conv2d, FrozenBatchNorm2d

from .depthwise import depthwise_conv2d, suits_depthwise
from .forward import AcceleratedForward
from .winograd import (
    WinogradConv3x3,
    is_wide_conv3x3,
    saves_products,
    winograd_conv3x3,
    winograd_weight,
)

BatchNorm: TypeAlias = nn.BatchNorm2d | FrozenBatchNorm2d


def is_foldable(module: nn.Module | None) -> TypeGuard[BatchNorm]:
    """Whether a module scales and shifts each channel in evaluation, by known numbers."""
    if module is None or "forward" in vars(module):  # somebody has replaced it
        return False
    return isinstance(module, FrozenBatchNorm2d) or (
        isinstance(module, nn.BatchNorm2d) and module.affine and module.track_running_stats
    )


class TrainingConv(AcceleratedForward):
    """A `Conv2d` or `torch.nn.Conv2d` by the kernels whose gradients are fastest."""

    module: nn.Conv2d

    @staticmethod
    def suits(conv: nn.Conv2d) -> bool:
        """Whether there is a faster way at all."""
        has_frozen_norm = type(conv) is Conv2d and isinstance(conv.norm, FrozenBatchNorm2d)
        return has_frozen_norm or suits_depthwise(conv) or is_wide_conv3x3(conv)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        conv = self.module
        if not isinstance(conv, Conv2d):
            return _convolve(conv, x, conv.weight, conv.bias)
        if not isinstance(conv.norm, FrozenBatchNorm2d) or _has_hooks(conv.norm):
            return conv.finish(_convolve(conv, x, conv.weight, conv.bias))
        scale, shift = conv.norm.scale_and_shift()
        if conv.bias is not None:
            shift = shift + conv.bias * scale
        x = _convolve(conv, x, conv.weight * scale.view(-1, 1, 1, 1), shift)
        return x if conv.activation is None else conv.activation(x)


class InferenceConv(AcceleratedForward):
    """A convolution and the batch norm behind it, on weights that are prepared once.

    Args:
        module: a `Conv2d` or `torch.nn.Conv2d`.
        norm: the batch norm that becomes part of the weights; None for none.
    """

    module: nn.Conv2d

    def __init__(self, module: nn.Conv2d, norm: BatchNorm | None):
        super().__init__(module)
        self.norm = norm
        self._otherwise = TrainingConv(module)
        self._prepared: dict[tuple, tuple[torch.Tensor, torch.Tensor | None]] = {}
        # What they were made of. Kept, so that nothing else can come to lie where it does.
        self._source: list[torch.Tensor] = []
        self._state: list[tuple[int, int]] = []

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        conv, device = self.module, x.device.type
        if not _is_inference(conv) or not _is_folded(conv, self.norm):
            return self._otherwise(x)
        source = _tensors(conv, self.norm)
        state = [(t.data_ptr(), 0 if t.is_inference() else t._version) for t in source]
        if state != self._state:
            self._prepared, self._state = {}, state
            self._source = [t.detach() for t in source]
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        by_winograd = device == "cpu" and dtype == torch.float32 and _pays(conv, x)
        key = dtype, x.device, by_winograd  # a model may be moved, and autocast now and then
        if key not in self._prepared:
            self._prepared[key] = self._prepare(dtype, by_winograd)
        weight, bias = self._prepared[key]
        if by_winograd:
            x = winograd_conv3x3(x, weight, bias, conv.dilation[0])
        else:
            x = conv._conv_forward(x, weight, bias)
        if not isinstance(conv, Conv2d):
            return x
        if self.norm is None:
            return conv.finish(x)
        return x if conv.activation is None else conv.activation(x)

    def _prepare(
        self, dtype: torch.dtype, by_winograd: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        weight, bias, norm = self.module.weight, self.module.bias, self.norm
        if norm is not None:
            assert norm.running_mean is not None and norm.running_var is not None
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            mean = norm.running_mean if bias is None else norm.running_mean - bias
            weight, bias = weight * scale.view(-1, 1, 1, 1), norm.bias - mean * scale
        if by_winograd:
            weight = winograd_weight(weight)
        return weight.to(dtype), None if bias is None else bias.to(dtype)


class SkippedNorm(AcceleratedForward):
    """Nothing, where the convolution before it, an `InferenceConv`, has done it already."""

    def __init__(self, module: nn.Module, conv: nn.Conv2d):
        super().__init__(module)
        self._conv = conv

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if _is_inference(self._conv) and _is_folded(self._conv, self.module):
            return x
        return type(self.module).forward(self.module, x)


def _is_folded(conv: nn.Conv2d, norm: nn.Module | None) -> bool:
    """Whether nobody sees what is between a convolution and the norm behind it."""
    if norm is None:
        return True
    return not (_has_hooks(norm) or (type(conv) is nn.Conv2d and _has_hooks(conv)))


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _tensors(*modules: nn.Module | None) -> list[torch.Tensor]:
    return [
        tensor
        for module in modules
        if module is not None
        for tensor in (*module._parameters.values(), *module._buffers.values())
        if tensor is not None
    ]


def _is_inference(conv: nn.Conv2d) -> bool:
    return not (conv.training or torch.is_grad_enabled() or torch.compiler.is_compiling())


def _pays(conv: nn.Conv2d, x: torch.Tensor) -> bool:
    return is_wide_conv3x3(conv) and x.dim() == 4 and saves_products(x.shape[-2:], conv.dilation[0])


def _convolve(
    conv: nn.Conv2d, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """The convolution alone, with gradients."""
    if suits_depthwise(conv) and x.dim() == 4:
        return depthwise_conv2d(conv, x, weight, bias)
    if (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and _pays(conv, x)
    ):
        return WinogradConv3x3.apply(x, weight, bias, conv.dilation[0])
    return conv._conv_forward(x, weight, bias)
