"""A device that counts how often it is waited for, without being there.

Its tensors say that they are on "meta", and their values are on the CPU, where everything is
computed. What would make the CPU wait for a GPU is noted: a value or a shape that depends on values
(`item`, `nonzero`, an index of booleans), a copy to the CPU, and one from the CPU that is not
``non_blocking``.

(Derivatives of a few operators, `prod` among them, look at values only where a tensor is none of a
subclass, so they wait on a GPU and not here.)
"""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("meta")

aten = torch.ops.aten

# Operators whose result is a number of Python, or has a shape that depends on values.
_WAITING = {
    aten._local_scalar_dense,
    aten._unique2,
    aten.bincount,
    aten.equal,
    aten.masked_select,
    aten.nonzero,
    aten.repeat_interleave,
    aten.unique_consecutive,
    aten.unique_dim,
}
_INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}


class OnDevice(Tensor):
    """A tensor of the device; `value` is on the CPU."""

    value: Tensor

    @staticmethod
    def __new__(cls, value: Tensor) -> OnDevice:
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            value.shape,
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
            device=DEVICE,
        )
        tensor.value = value
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} on the mock device, outside of its `with` block")


class MockDevice(TorchDispatchMode):
    """Within it, `DEVICE` computes, and `waits` has the name of each operator that waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self._others = ExitStack()

    def __enter__(self) -> MockDevice:
        self._others.enter_context(_MadeOfPython())
        # PyTorch has no autocast for "meta".
        self._others.enter_context(patch.object(torch, "autocast", lambda *_, **__: nullcontext()))
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        self._others.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        values = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        here = [x for x in values if isinstance(x, OnDevice)]
        to_device = kwargs.get("device") is not None and torch.device(kwargs["device"]) == DEVICE
        if not here and not to_device:
            return func(*args, **kwargs)
        packet = func.overloadpacket
        to_cpu = kwargs.get("device") is not None and not to_device
        if self._waits(func, args, kwargs, here, len(here) < len(values), to_cpu):
            self.waits.append(str(func))
        cpu_args, cpu_kwargs = tree_map_only(OnDevice, lambda x: x.value, (args, kwargs))
        if to_device:
            cpu_kwargs["device"] = torch.device("cpu")
        if packet in (aten._to_copy, aten.empty_strided) and cpu_kwargs.get("pin_memory"):
            cpu_kwargs["pin_memory"] = False
        result = func(*cpu_args, **cpu_kwargs)
        if to_cpu:
            return result
        result = tree_map_only(Tensor, OnDevice, result)
        return return_and_correct_aliasing(func, args, kwargs, result)

    @staticmethod
    def _waits(
        func: Any, args: Any, kwargs: Any, here: list[Tensor], has_others: bool, to_cpu: bool
    ) -> bool:
        packet = func.overloadpacket
        if packet in _WAITING:
            return kwargs.get("output_size") is None
        if packet in _INDEXING:
            indices = [x for x in args[1] if x is not None]
            return any(x.dtype == torch.bool or not isinstance(x, OnDevice) for x in indices)
        if packet is aten._to_copy:
            return to_cpu or not (here or kwargs.get("non_blocking"))
        if packet is aten.copy_:
            source_is_here = isinstance(args[1], OnDevice)
            blocking = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
            return source_is_here != isinstance(args[0], OnDevice) and (source_is_here or blocking)
        others = [
            x
            for x in tree_leaves((args, kwargs))
            if isinstance(x, Tensor) and not isinstance(x, OnDevice) and x.dim() > 0
        ]
        assert not here or not others, f"{func} of tensors on the device and on the CPU"
        return False


class _MadeOfPython(TorchFunctionMode):
    """Tensors made on the device of Python's numbers are made on the CPU and copied, blocking."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        of_tensor = func is Tensor.new_tensor and isinstance(args[0], OnDevice)
        of_device = func in (torch.tensor, torch.as_tensor) and not isinstance(args[0], Tensor)
        if (of_device and torch.device(kwargs.get("device") or "cpu") == DEVICE) or of_tensor:
            options = {"dtype": kwargs.get("dtype") or (args[0].dtype if of_tensor else None)}
            made = torch.tensor(args[1] if of_tensor else args[0], **options)
            return made.to(DEVICE)
        if func is Tensor.tolist and isinstance(args[0], OnDevice):
            return args[0].cpu().tolist()
        return func(*args, **kwargs)


def to_mock_device(module: nn.Module) -> nn.Module:
    """Bring the parameters and buffers of a module to the device, in place."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                moved = nn.Parameter(OnDevice(parameter.detach()), parameter.requires_grad)
                part._parameters[name] = moved
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = OnDevice(buffer)
    return module
