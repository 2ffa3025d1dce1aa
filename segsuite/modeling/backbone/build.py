"""The backbones a configuration can name."""

from __future__ import annotations

from segsuite.config import CfgNode
from segsuite.errors import ConfigError
from segsuite.layers import ShapeSpec
from segsuite.utils.registry import Registry

from .backbone import Backbone

# Callables (cfg, input_shape: ShapeSpec) -> Backbone.
BACKBONE_REGISTRY = Registry("BACKBONE")


def build_backbone(cfg: CfgNode, input_shape: ShapeSpec | None = None) -> Backbone:
    """Build ``MODEL.BACKBONE.NAME`` for images of `input_shape`, by default as many channels as
    ``MODEL.PIXEL_MEAN`` has entries, its first ``MODEL.BACKBONE.FREEZE_AT`` stages frozen.

    Raises:
        UnknownNameError: no backbone has that name.
        ConfigError: FREEZE_AT is negative, or more than the backbone has of stages to freeze.
    """
    if input_shape is None:
        input_shape = ShapeSpec(channels=len(cfg.MODEL.PIXEL_MEAN))
    freeze_at = cfg.MODEL.BACKBONE.FREEZE_AT
    if freeze_at < 0:
        raise ConfigError(
            f"MODEL.BACKBONE.FREEZE_AT is {freeze_at}; expected 0 (nothing is frozen) or a number "
            "of stages from the input on"
        )
    backbone = BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME)(cfg, input_shape)
    # What somebody else wrote may not have read the key. Twice is as good as once, but without
    # `stages` it can't be asked: then something that is frozen says that it has.
    if freeze_at and (backbone.stages() or all(p.requires_grad for p in backbone.parameters())):
        backbone.freeze(freeze_at)
    return backbone
