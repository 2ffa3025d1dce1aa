"""A sum over processes that gradients flow through."""

from __future__ import annotations

from typing import Any

import torch

from segsuite.utils import comm


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        return comm.all_reduce_sum_(tensor.clone())

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return comm.all_reduce_sum_(grad.clone())


def differentiable_all_reduce_sum(tensor: torch.Tensor) -> torch.Tensor:
    """Sum a tensor over all processes; the tensor itself in a single process.

    Every process depends on every summand, so the backward pass sums the gradients over all
    processes too: all of them must run it, in the same order.
    """
    return _AllReduceSum.apply(tensor) if comm.get_world_size() > 1 else tensor
