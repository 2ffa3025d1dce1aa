"""How much memory a model takes for an image, found without computing anything."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


def peak_activation_bytes(model: nn.Module, record: dict[str, Any]) -> int:
    """The most bytes that a model's activations take at one time while it predicts an image.

    The model runs on fake tensors, which have a shape and a device but no content, in a fraction of
    the time that it takes to predict. Weights do not count, nor the working space of single
    operators, such as convolutions; weights that `accelerate` prepares do not count either.

    Args:
        model: in evaluation mode.
        record: of one image, as the model takes it.

    Raises:
        RuntimeError: a shape depends on the content of the image, or an operator has no
            implementation for fake tensors.
    """
    named = (*model.named_parameters(), *model.named_buffers())
    # No weight here wants a gradient, so none is prepared for. But where gradients are enabled, a
    # model keeps nothing that it has made from its weights, which are fake.
    with FakeTensorMode(), torch.inference_mode(False), torch.enable_grad():
        weights = {name: _fake(tensor) for name, tensor in named}
        record = {**record, "image": _fake(record["image"])}
        with _LiveBytes() as live:
            functional_call(model, weights, ([record],))
    return live.peak


def _fake(tensor: torch.Tensor) -> torch.Tensor:
    """Another tensor of this form; a fake one where FakeTensorMode is on."""
    return torch.empty_strided(
        tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device
    )


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that operators return, for as long as they are referred to.

    Attributes:
        peak: the largest sum so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._counted: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Callable,
        types: Sequence[type],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._add, result)
        self.peak = max(self.peak, self._now)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._counted:  # a view, or changed in place
            return
        self._counted.add(storage)
        self._now += storage.nbytes()
        weakref.finalize(storage, self._remove, storage.nbytes())

    def _remove(self, size: int) -> None:
        self._now -= size
