"""The semantic heads a configuration can name."""

from __future__ import annotations

from segsuite.config import CfgNode
from segsuite.layers import ShapeSpec
from segsuite.utils.registry import Registry

from .head import SemSegHead

# Callables (cfg, input_shape: dict[str, ShapeSpec]) -> SemSegHead.
SEM_SEG_HEADS_REGISTRY = Registry("SEM_SEG_HEADS")


def build_sem_seg_head(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> SemSegHead:
    """Build ``MODEL.SEM_SEG_HEAD.NAME`` on features of `input_shape`.

    Raises:
        UnknownNameError: no head has that name, or a feature in IN_FEATURES does not exist.
    """
    return SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.SEM_SEG_HEAD.NAME)(cfg, input_shape)
