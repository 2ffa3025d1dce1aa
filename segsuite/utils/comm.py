"""The process group: who am I, and small collectives that do nothing in a single process."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def _initialized() -> bool:
    # Where PyTorch has not been imported there is no group, and no need to wait for it.
    dist = sys.modules.get("torch.distributed")
    return dist is not None and dist.is_available() and dist.is_initialized()


def get_world_size() -> int:
    """Number of processes, over all machines."""
    if not _initialized():
        return 1
    import torch.distributed as dist

    return dist.get_world_size()


def get_rank() -> int:
    """Index of this process among all, from 0."""
    if not _initialized():
        return 0
    import torch.distributed as dist

    return dist.get_rank()


def get_local_rank() -> int:
    """Index of this process among those of its machine, which is also that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0")) if _initialized() else 0


def is_main_process() -> bool:
    """Whether this process writes files and logs."""
    return get_rank() == 0


def synchronize() -> None:
    """Wait until every process is here."""
    if get_world_size() > 1:
        import torch
        import torch.distributed as dist

        if dist.get_backend() == "nccl":
            dist.barrier(device_ids=[torch.cuda.current_device()])
        else:
            dist.barrier()


def gather(obj: Any, dst: int = 0) -> list[Any]:
    """Picklable objects of all processes in the order of their ranks; empty except on `dst`."""
    if get_world_size() == 1:
        return [obj]
    import torch.distributed as dist

    gathered = [None] * get_world_size() if get_rank() == dst else None
    dist.gather_object(obj, gathered, dst=dst)
    return gathered or []


def all_gather(obj: Any) -> list[Any]:
    """Picklable objects of all processes in the order of their ranks, on every process."""
    if get_world_size() == 1:
        return [obj]
    import torch.distributed as dist

    gathered = [None] * get_world_size()
    dist.all_gather_object(gathered, obj)
    return gathered


def broadcast_object(obj: Any, src: int = 0) -> Any:
    """The picklable object of process `src`, on every process."""
    if get_world_size() == 1:
        return obj
    import torch.distributed as dist

    box = [obj]
    dist.broadcast_object_list(box, src=src)
    return box[0]


def all_reduce_sum_(tensor: torch.Tensor) -> torch.Tensor:
    """Sum a tensor over all processes, in place."""
    if get_world_size() > 1:
        import torch.distributed as dist

        dist.all_reduce(tensor)
    return tensor


def all_reduce_mean(tensor: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over all processes, detached; loss normalisers use it.

    DistributedDataParallel averages gradients, so a loss that is divided by the mean normaliser
    has the gradient that one process would have had on the whole batch.
    """
    tensor = tensor.detach().clone()
    return all_reduce_sum_(tensor).div_(get_world_size()) if get_world_size() > 1 else tensor
