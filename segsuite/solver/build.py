"""`build_optimizer`, and the rules that give each parameter its learning rate and decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from segsuite.config import CfgNode, build_entry, read_arguments
from segsuite.errors import ConfigError, UnknownNameError, WeightsError
from segsuite.utils.registry import Registry
from segsuite.utils.sharded_tensors import copy_whole_, is_sharded

# Callables (cfg, params, **SOLVER.OPTIMIZER_ARGS) -> torch.optim.Optimizer, by SOLVER.OPTIMIZER;
# `params` are the groups of `param_groups`.
OPTIMIZER_REGISTRY = Registry("OPTIMIZER")

# `_NormBase` is what every BatchNorm, SyncBatchNorm and InstanceNorm derives from.
NORM_TYPES = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
)


def param_groups(
    model: nn.Module,
    *,
    base_lr: float,
    weight_decay: float,
    weight_decay_norm: float | None = None,
    weight_decay_bias: float | None = None,
    bias_lr_factor: float = 1.0,
    backbone_multiplier: float = 1.0,
) -> list[dict[str, Any]]:
    """The trainable parameters of `model`, grouped by the learning rate and decay they get.

    Parameters of normalisation layers decay by `weight_decay_norm`, biases (those of the
    normalisation layers too) by `weight_decay_bias`; None leaves `weight_decay`. Biases learn
    `bias_lr_factor` times as fast, parameters under ``backbone.`` `backbone_multiplier` times.

    Returns:
        One dict per distinct pair of learning rate and decay, in order of first appearance:
        "params", "lr", "base_lr" (the learning rate that schedules multiply) and "weight_decay".
        A parameter shared by several modules is listed once, by the first of them.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for module_name, module in model.named_modules():
        in_backbone = f"{module_name}.".startswith("backbone.")
        for name, param in module.named_parameters(recurse=False):
            if not param.requires_grad or param in seen:
                continue
            seen.add(param)
            lr, decay = base_lr, weight_decay
            if isinstance(module, NORM_TYPES) and weight_decay_norm is not None:
                decay = weight_decay_norm
            if name.endswith("bias"):
                lr *= bias_lr_factor
                decay = decay if weight_decay_bias is None else weight_decay_bias
            if in_backbone:
                lr *= backbone_multiplier
            groups.setdefault((lr, decay), []).append(param)
    return [
        {"params": params, "lr": lr, "base_lr": lr, "weight_decay": decay}
        for (lr, decay), params in groups.items()
    ]


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """SOLVER.OPTIMIZER over the trainable parameters of `model`, which must be on its device.

    `load_state_dict` of the result takes the state (momentum, moments, step counts) from the
    checkpoint and leaves the hyper-parameters as the config has them.

    Raises:
        UnknownNameError: SOLVER.OPTIMIZER is not in the registry, or does not take an argument of
            SOLVER.OPTIMIZER_ARGS.
        ConfigError: nothing in the model is trainable, or a hyper-parameter is out of its range.
        TypeError: what was built is no optimiser.
    """
    solver = cfg.SOLVER
    groups = param_groups(
        model,
        base_lr=solver.BASE_LR,
        weight_decay=solver.WEIGHT_DECAY,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        backbone_multiplier=solver.BACKBONE_MULTIPLIER,
    )
    if not groups:
        raise ConfigError(
            "the model has no trainable parameter; lower MODEL.BACKBONE.FREEZE_AT, or unfreeze some"
        )
    name = solver.OPTIMIZER
    build = OPTIMIZER_REGISTRY.get(name)
    arguments = read_arguments(solver.OPTIMIZER_ARGS)
    optimizer = build_entry(build, name, arguments, "SOLVER.OPTIMIZER_ARGS", cfg, groups)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"SOLVER.OPTIMIZER: '{name}' gave a {type(optimizer).__name__}; what is registered in "
            "OPTIMIZER_REGISTRY takes the configuration and the groups of parameters and returns a "
            "torch.optim.Optimizer"
        )
    optimizer.register_load_state_dict_pre_hook(_keep_hyper_parameters)
    optimizer.register_load_state_dict_post_hook(_match_strides)
    return optimizer


@OPTIMIZER_REGISTRY.register(name="SGD")
def _build_sgd(cfg: CfgNode, params: list[dict[str, Any]], **kwargs: Any) -> torch.optim.Optimizer:
    momentum = {"momentum": cfg.SOLVER.MOMENTUM, "nesterov": cfg.SOLVER.NESTEROV}
    optimizer = _build(torch.optim.SGD, cfg, params, {**momentum, **kwargs})
    if optimizer.defaults["fused"]:
        optimizer.register_step_pre_hook(_start_momentum)
    return optimizer


@OPTIMIZER_REGISTRY.register(name="ADAM")
def _build_adam(cfg: CfgNode, params: list[dict[str, Any]], **kwargs: Any) -> torch.optim.Optimizer:
    return _build(torch.optim.Adam, cfg, params, {"betas": tuple(cfg.SOLVER.BETAS), **kwargs})


@OPTIMIZER_REGISTRY.register(name="ADAMW")
def _build_adamw(
    cfg: CfgNode, params: list[dict[str, Any]], **kwargs: Any
) -> torch.optim.Optimizer:
    return _build(torch.optim.AdamW, cfg, params, {"betas": tuple(cfg.SOLVER.BETAS), **kwargs})


def _build(
    kind: type[torch.optim.Optimizer],
    cfg: CfgNode,
    params: list[dict[str, Any]],
    options: dict[str, Any],
) -> torch.optim.Optimizer:
    # Fused kernels make one pass over memory: several times as fast on CPU, no host sync for the
    # loss scaler on CUDA.
    every = [param for group in params for param in group["params"]]
    devices = {param.device.type for param in every}
    # Of SGD's PyTorch has none for shards.
    has_kernel = kind is not torch.optim.SGD or not any(map(is_sharded, every))
    if devices <= {"cpu", "cuda"} and has_kernel and not options.get("foreach"):
        options = {"fused": True, **options}
    solver = cfg.SOLVER
    options = {"lr": solver.BASE_LR, "weight_decay": solver.WEIGHT_DECAY, **options}
    given = ", ".join(f"{key.upper()} {value}" for key, value in options.items())
    try:
        return build_entry(kind, solver.OPTIMIZER, options, "SOLVER.OPTIMIZER_ARGS", params)
    except UnknownNameError:
        raise
    except (ValueError, IndexError, TypeError, RuntimeError) as error:
        raise ConfigError(f"SOLVER.OPTIMIZER {solver.OPTIMIZER} with {given}: {error}") from error


def _start_momentum(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Give parameters that have their first gradient a momentum of zeros: the fused kernel takes
    them only if all of a group come at once, and what it begins with is the same."""
    for group in optimizer.param_groups:
        with_gradient = [p for p in group["params"] if p.grad is not None and group["momentum"]]
        for param in with_gradient:
            state = optimizer.state[param]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(param)


def _keep_hyper_parameters(
    optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]
) -> dict[str, Any]:
    """`state_dict` with the hyper-parameters that `optimizer` was built with."""
    # An optimiser of another version may have further ones; another one has some and lacks some.
    saved_names, names = (
        set(group[0]) if group else set()
        for group in (state_dict["param_groups"], optimizer.param_groups)
    )
    if saved_names - names and names - saved_names:
        raise WeightsError(
            "the checkpoint holds the state of another optimiser than SOLVER.OPTIMIZER, a "
            f"{type(optimizer).__name__}: one with {', '.join(sorted(saved_names - names))} and "
            f"without {', '.join(sorted(names - saved_names))}. Resume with the one that the run "
            "began with, or start a new run with MODEL.WEIGHTS set to the checkpoint"
        )
    saved = [group["params"] for group in state_dict["param_groups"]]
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    if [len(params) for params in saved] != sizes:
        raise WeightsError(
            f"the checkpoint's optimizer has groups of {[len(p) for p in saved]} parameters, this "
            f"one of {sizes}: the model or the SOLVER keys that group parameters (WEIGHT_DECAY_*, "
            "BIAS_LR_FACTOR, BACKBONE_MULTIPLIER, FREEZE_AT) changed. Resume with the config.yaml "
            "beside the checkpoint, or start a new run with MODEL.WEIGHTS set to the checkpoint"
        )
    groups = [
        {**group, "params": params}
        for group, params in zip(optimizer.param_groups, saved, strict=True)
    ]
    return {**state_dict, "param_groups": groups}


def _match_strides(optimizer: torch.optim.Optimizer) -> None:
    """Lay the state out in memory as the parameters are: fused CPU kernels take that for granted.

    It differs when a run is resumed with another MODEL.CHANNELS_LAST, or SOLVER.FSDP.
    """
    for param, state in optimizer.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.shape == param.shape:
                state[name] = torch.empty_like(param, dtype=value.dtype)
                copy_whole_(state[name], value)
