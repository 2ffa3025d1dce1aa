"""The backbones a configuration can name."""

from __future__ import annotations

from segsuite.config import CfgNode
from segsuite.layers import ShapeSpec
from segsuite.utils.registry import Registry

from .backbone import Backbone

# Callables (cfg, input_shape: ShapeSpec) -> Backbone.
BACKBONE_REGISTRY = Registry("BACKBONE")


def build_backbone(cfg: CfgNode, input_shape: ShapeSpec | None = None) -> Backbone:
    """Build ``MODEL.BACKBONE.NAME`` for images of `input_shape`, by default as many channels as
    ``MODEL.PIXEL_MEAN`` has entries.

    Raises:
        KeyError: no backbone has that name.
    """
    if input_shape is None:
        input_shape = ShapeSpec(channels=len(cfg.MODEL.PIXEL_MEAN))
    return BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME)(cfg, input_shape)
