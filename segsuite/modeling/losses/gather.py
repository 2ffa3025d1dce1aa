"""Pixels of all processes in one tensor."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F

from segsuite.utils import comm


def gather_uneven(x: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """The one-dimensional tensors of all processes, which may differ in length, in one.

    Returns:
        The tensor, without a gradient, and the length of each process's share, in order.
    """
    x = x.detach()
    world_size = comm.get_world_size()
    if world_size == 1:
        return x, [len(x)]
    sizes = comm.all_gather(x.numel())
    padded = F.pad(x, (0, max(sizes) - x.numel()))
    gathered = [torch.empty_like(padded) for _ in range(world_size)]
    dist.all_gather(gathered, padded)
    return torch.cat([g[:size] for g, size in zip(gathered, sizes, strict=True)]), sizes
