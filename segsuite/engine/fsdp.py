"""Models that are spread over the processes: PyTorch's FSDP2, for those that need the memory."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn

from segsuite.errors import ConfigError, MissingPackageError
from segsuite.modeling.backbone import Backbone
from segsuite.utils import comm
from segsuite.utils.sharded_tensors import copy_whole_, whole

logger = logging.getLogger(__name__)


class ShardedModel:
    """Spreads the parameters of `model` over the processes, in place.

    Each process keeps some rows of every parameter, of its gradient, and so of what optimiser and
    running average hold for it. The blocks of backbones (`Backbone.blocks`) are units, whose
    weights are brought together just before they compute, forward and backward; the rest of the
    model is one more, which stays whole from the forward pass to the end of the backward pass.
    Losses and gradients are those of DistributedDataParallel to rounding.

    Weights stay float32. On CUDA those of units are sent in `amp_dtype`, in which autocast computes
    with them, and gradients are summed in float32. Units with floating-point buffers, as batch
    norms have, are sent in float32: such a norm takes weights of the type of its statistics. So are
    all on the CPU, where autocast leaves layer norms to the type that they are given.

    Every process has to have built the whole model; process 0's weights and buffers count.

    Args:
        model: on its device, and with the first weights.
        amp_dtype: the type that autocast computes in; None: float32.
        reshard_after_forward: False keeps the units' weights whole up to the backward pass: more
            memory, and less to send.

    Raises:
        MissingPackageError: PyTorch is older than 2.6.
        ConfigError: the model has a parameter that can't be sharded.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        amp_dtype: torch.dtype | None = None,
        reshard_after_forward: bool = True,
    ):
        for tensor in (*model.parameters(), *model.buffers()):
            dist.broadcast(tensor.detach(), 0)
        self._model = model
        self._plain = _without_weights(model)
        self._formats = [_memory_format(param) for param in model.parameters()]
        for param in model.parameters():
            param.data = param.data.contiguous()  # FSDP knows no other layout
        _shard(model, amp_dtype, reshard_after_forward)

    @contextmanager
    def whole(self, *, writes: bool = False) -> Iterator[nn.Module]:
        """The plain model, whole on each process, with the present weights, for a while.

        It computes without the other processes. Its buffers are those of the sharded model.

        Args:
            writes: what it holds at the end becomes the weights of the sharded model.
        """
        pairs = list(zip(self._model.parameters(), self._plain.parameters(), strict=True))
        for (param, plain), memory_format in zip(pairs, self._formats, strict=True):
            plain.data = whole(param).contiguous(memory_format=memory_format)
        modules = zip(self._model.modules(), self._plain.modules(), strict=True)
        for module, plain_module in modules:
            plain_module.training = module.training
        try:
            yield self._plain
            if writes:
                for param, plain in pairs:
                    copy_whole_(param, plain.detach())
        finally:
            for _, plain in pairs:
                plain.data = plain.data.new_empty(0)


def _without_weights(model: nn.Module) -> nn.Module:
    """A copy with empty parameters, and the buffers of `model` itself."""
    memo: dict[int, object] = {id(buffer): buffer for buffer in model.buffers()}
    for param in model.parameters():
        empty = param.detach().new_empty(0)
        memo[id(param)] = nn.Parameter(empty, requires_grad=param.requires_grad)
    return copy.deepcopy(model, memo)


def _memory_format(param: nn.Parameter) -> torch.memory_format:
    is_channels_last = param.dim() == 4 and not param.is_contiguous()
    return torch.channels_last if is_channels_last else torch.contiguous_format


def _shard(model: nn.Module, amp_dtype: torch.dtype | None, reshard_after_forward: bool) -> None:
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    except ImportError as error:
        raise MissingPackageError(
            f"SOLVER.FSDP needs PyTorch 2.6 or newer, this is {torch.__version__}: "
            "pip install -U torch, or set SOLVER.FSDP.ENABLED to False"
        ) from error
    device = next(model.parameters()).device
    mesh = init_device_mesh(device.type, (comm.get_world_size(),))
    units = _units(model)
    logger.info("sharded over %d processes, in %d blocks and the rest", mesh.size(), len(units))
    try:
        for unit in units:
            in_float32 = device.type == "cpu" or _has_statistics(unit)
            policy = MixedPrecisionPolicy(
                param_dtype=None if in_float32 else amp_dtype,
                reduce_dtype=torch.float32,
                cast_forward_inputs=False,  # autocast does
            )
            fully_shard(
                unit, mesh=mesh, mp_policy=policy, reshard_after_forward=reshard_after_forward
            )
        # What is used first in the backward pass would only be given back to be fetched again.
        fully_shard(model, mesh=mesh, reshard_after_forward=False)
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(
            f"SOLVER.FSDP can't shard this {type(model).__name__}: {error}. "
            "Set SOLVER.FSDP.ENABLED to False"
        ) from error


def _units(model: nn.Module) -> list[nn.Module]:
    """The blocks of all backbones, inner ones first."""
    backbones = [module for module in model.modules() if isinstance(module, Backbone)]
    blocks = [(name, backbone) for backbone in backbones for name in backbone.blocks()]
    blocks.sort(key=lambda block: -block[0].count("."))
    return [backbone.get_submodule(name) for name, backbone in blocks]


def _has_statistics(unit: nn.Module) -> bool:
    return any(buffer.is_floating_point() for buffer in unit.buffers())
