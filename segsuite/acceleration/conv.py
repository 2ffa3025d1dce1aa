"""Convolutions with their norms: for training by faster kernels, for inference prepared once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeGuard, TypeVar

import torch
from torch import nn

from segsuite.layers import Conv2d, FrozenBatchNorm2d
from segsuite.ops import adds_bias_for_free

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
_Value = TypeVar("_Value")


def is_foldable(module: nn.Module | None) -> TypeGuard[BatchNorm]:
    """Whether a module scales and shifts each channel in evaluation, by known numbers."""
    if module is None or "forward" in vars(module):  # somebody has replaced it
        return False
    return isinstance(module, FrozenBatchNorm2d) or (
        isinstance(module, nn.BatchNorm2d) and module.affine and module.track_running_stats
    )


class _Derived:
    """What was computed from tensors, as long as they are the same."""

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}
        # What they were made of. Kept, so that nothing else can come to lie where it does.
        self._source: list[torch.Tensor] = []
        self._state: list[tuple[int, int]] = []

    def get(
        self, source: Sequence[torch.Tensor], key: Any, compute: Callable[[], _Value]
    ) -> _Value:
        """``compute()``, or what it gave for this key before."""
        state = [(t.data_ptr(), 0 if t.is_inference() else t._version) for t in source]
        if state != self._state:
            self._values, self._state = {}, state
            self._source = [t.detach() for t in source]
        if key not in self._values:
            self._values[key] = compute()
        return self._values[key]


class TrainingConv(AcceleratedForward):
    """A `Conv2d` or `torch.nn.Conv2d` by the kernels whose gradients are fastest."""

    module: nn.Conv2d

    def __init__(self, module: nn.Conv2d):
        super().__init__(module)
        self._numbers = _Derived()

    @staticmethod
    def suits(conv: nn.Conv2d) -> bool:
        """Whether there is a faster way at all."""
        # On a GPU, the bias is added together with what follows.
        has_bias = type(conv) is Conv2d and (
            conv.bias is not None or isinstance(conv.norm, FrozenBatchNorm2d)
        )
        return has_bias or suits_depthwise(conv) or is_wide_conv3x3(conv)

    def __call__(
        self, x: torch.Tensor, residual: torch.Tensor | None = None, upsample: bool = False
    ) -> torch.Tensor:
        conv = self.module
        weight, bias = conv.weight, conv.bias
        if not isinstance(conv, Conv2d):
            return _convolve(conv, x, weight, bias)
        if isinstance(conv.norm, FrozenBatchNorm2d) and not _has_hooks(conv.norm):
            scale, shift = self._scale_and_shift(conv.norm)
            weight = weight * scale.view(-1, 1, 1, 1)
            bias = shift if bias is None else shift + bias * scale
        elif conv.norm is not None:
            return conv.finish(_convolve(conv, x, weight, bias), residual, upsample)
        if bias is None or not adds_bias_for_free(x):
            return conv.finish_normed(_convolve(conv, x, weight, bias), None, residual, upsample)
        return conv.finish_normed(_convolve(conv, x, weight, None), bias, residual, upsample)

    def _scale_and_shift(self, norm: FrozenBatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
        if torch.compiler.is_compiling():
            return norm.scale_and_shift()
        # What is made in inference mode is of no use to autograd.
        key = torch.is_inference_mode_enabled()
        return self._numbers.get(_tensors(norm), key, norm.scale_and_shift)


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
        self._prepared = _Derived()

    def __call__(
        self, x: torch.Tensor, residual: torch.Tensor | None = None, upsample: bool = False
    ) -> torch.Tensor:
        conv, device = self.module, x.device.type
        if not _is_inference(conv) or not _is_folded(conv, self.norm):
            return self._otherwise(x, residual, upsample)
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        by_winograd = device == "cpu" and dtype == torch.float32 and _pays(conv, x)
        has_normed = isinstance(conv, Conv2d) and (self.norm is not None or conv.norm is None)
        bias_later = has_normed and adds_bias_for_free(x)
        # A model may be moved, and autocast now and then.
        key = dtype, x.device, by_winograd, bias_later
        weight, bias = self._prepared.get(
            _tensors(conv, self.norm), key, lambda: self._prepare(*key)
        )
        now, later = (None, bias) if bias_later else (bias, None)
        if by_winograd:
            x = winograd_conv3x3(x, weight, now, conv.dilation[0])
        else:
            x = conv._conv_forward(x, weight, now)
        if not isinstance(conv, Conv2d):
            return x
        if not has_normed:
            return conv.finish(x, residual, upsample)
        return conv.finish_normed(x, later, residual, upsample)

    def _prepare(
        self, dtype: torch.dtype, device: torch.device, by_winograd: bool, bias_later: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        weight, bias, norm = self.module.weight, self.module.bias, self.norm
        if norm is not None:
            assert norm.running_mean is not None and norm.running_var is not None
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            mean = norm.running_mean if bias is None else norm.running_mean - bias
            weight, bias = weight * scale.view(-1, 1, 1, 1), norm.bias - mean * scale
        if by_winograd:
            weight = winograd_weight(weight)
        if bias is not None:
            bias = bias.to(torch.promote_types(dtype, torch.float32) if bias_later else dtype)
        return weight.to(dtype), bias


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
