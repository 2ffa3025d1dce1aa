"""The semantic heads a configuration can name."""

from __future__ import annotations

from segsuite.config import CfgNode
from segsuite.layers import ShapeSpec
from segsuite.utils.registry import Registry

from .head import SemSegHead

# Callables (cfg, input_shape: dict[str, ShapeSpec]) -> SemSegHead.
SEM_SEG_HEADS_REGISTRY = Registry("SEM_SEG_HEADS")
# What architectures ask of a head.
_CONTRACT = ("num_classes", "stride", "training_losses", "losses", "enlarged")


def build_sem_seg_head(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> SemSegHead:
    """Build ``MODEL.SEM_SEG_HEAD.NAME`` on features of `input_shape`.

    Raises:
        UnknownNameError: no head has that name, or a feature in IN_FEATURES does not exist.
        TypeError: what was built is not like a `SemSegHead`, such as a head of Detectron2.
    """
    name = cfg.MODEL.SEM_SEG_HEAD.NAME
    head = SEM_SEG_HEADS_REGISTRY.get(name)(cfg, input_shape)
    missing = [part for part in _CONTRACT if not hasattr(head, part)]
    if missing:
        raise TypeError(
            f"MODEL.SEM_SEG_HEAD.NAME '{name}' gave a {type(head).__name__} without "
            f"{', '.join(missing)}. A head here is a SemSegHead: `forward(features)` returns "
            "logits, (N, classes, h, w), also in training, and `losses(logits, targets)` the "
            "losses. One written for Detectron2, whose `forward(features, targets)` returns "
            "either, has to be split: derive it from segsuite.modeling.sem_seg.SemSegHead, leave "
            "`targets` and the upsampling out of `forward`, set `stride` to that of the logits, "
            "and move its loss, if it is not one of SEM_SEG_HEAD.LOSS_TYPE, to `losses`"
        )
    return head
