"""The RoI heads a configuration can name."""

from __future__ import annotations

from torch import nn

from segsuite.config import CfgNode
from segsuite.layers import ShapeSpec
from segsuite.utils.registry import Registry

# Callables (cfg, input_shape: dict[str, ShapeSpec]) -> nn.Module, see `ROIHeads`.
ROI_HEADS_REGISTRY = Registry("ROI_HEADS")


def build_roi_heads(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> nn.Module:
    """Build ``MODEL.ROI_HEADS.NAME`` for the features `input_shape`.

    Raises:
        UnknownNameError: no RoI heads have that name.
    """
    return ROI_HEADS_REGISTRY.get(cfg.MODEL.ROI_HEADS.NAME)(cfg, input_shape)
