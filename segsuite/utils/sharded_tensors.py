"""Tensors of which each process holds some rows, PyTorch's ``DTensor``s, beside plain ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(value: Any) -> TypeGuard[DTensor]:
    """Whether `value` is a tensor that is spread over the processes."""
    # PyTorch 2.4 has the class elsewhere.
    return isinstance(value, torch.Tensor) and hasattr(value, "full_tensor")


def is_sharded_model(model: nn.Module) -> bool:
    """Whether the parameters of `model` are spread over the processes, see `shard`."""
    return any(map(is_sharded, model.parameters()))


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor that may be sharded, detached; every process has to ask for it."""
    tensor = tensor.detach()
    return tensor.full_tensor() if is_sharded(tensor) else tensor


@torch.no_grad()
def copy_whole_(target: torch.Tensor, source: torch.Tensor) -> None:
    """Copy `source`, a plain tensor, into `target`, which may be sharded by its rows."""
    if not is_sharded(target):
        target.copy_(source)
        return
    local, mesh = target.to_local(), target.device_mesh
    rows = -(-len(source) // mesh.size())
    start = min(mesh.get_local_rank() * rows, len(source))
    local.copy_(source[start : start + len(local)])


def load_whole(model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """``model.load_state_dict(weights)`` for a model that may be sharded, and plain weights."""
    if not is_sharded_model(model):
        model.load_state_dict(weights)
        return
    for name, tensor in model.state_dict().items():
        copy_whole_(tensor, weights[name])


def whole_state(value: Any, *, keep: bool) -> Any:
    """A nest of dicts, lists and tuples with all of its sharded tensors, on the CPU.

    Every process has to ask for it.

    Args:
        keep: whether this process wants them; else it has None in their places, and helps others.
    """
    if is_sharded(value):
        tensor = whole(value)
        return tensor.cpu() if keep else None
    if isinstance(value, dict):
        return {key: whole_state(item, keep=keep) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(whole_state(item, keep=keep) for item in value)
    return value


def sharded_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The sharded tensors in a nest of dicts and lists, each with the keys that lead to it."""
    if is_sharded(value):
        yield path, value
    elif isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from sharded_paths(item, (*path, key))
