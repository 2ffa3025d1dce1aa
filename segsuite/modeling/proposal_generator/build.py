"""The proposal generators a configuration can name."""

from __future__ import annotations

from torch import nn

from segsuite.config import CfgNode
from segsuite.layers import ShapeSpec
from segsuite.utils.registry import Registry

# Callables (cfg, input_shape: dict[str, ShapeSpec]) -> nn.Module with `RPN.forward`'s contract.
PROPOSAL_GENERATOR_REGISTRY = Registry("PROPOSAL_GENERATOR")


def build_proposal_generator(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> nn.Module:
    """Build ``MODEL.PROPOSAL_GENERATOR.NAME`` for the features `input_shape`.

    Raises:
        UnknownNameError: no generator has that name.
    """
    name = cfg.MODEL.PROPOSAL_GENERATOR.NAME
    return PROPOSAL_GENERATOR_REGISTRY.get(name)(cfg, input_shape)
