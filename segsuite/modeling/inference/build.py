"""What a configuration asks for beyond a model's plain predictions."""

from __future__ import annotations

import math

from torch import nn

from segsuite.config import CfgNode
from segsuite.errors import ConfigError

from ..meta_arch import GeneralizedRCNN, PanopticFPN, SemanticSegmentor
from .augmentation import SemSegAugmentation
from .sliding_window import SlidingWindow
from .tiles import TiledInstances


def build_inference(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """`model` as TEST.SLIDING_WINDOW and TEST.AUG have it run in evaluation; itself without them.

    Raises:
        ConfigError: the model is not one for semantic segmentation, or a value is out of range.
    """
    window, aug = cfg.TEST.SLIDING_WINDOW, cfg.TEST.AUG
    asked = [f"TEST.{key}" for key in ("SLIDING_WINDOW", "AUG") if cfg.TEST[key].ENABLED]
    if not asked:
        return model
    if isinstance(model, GeneralizedRCNN) and not isinstance(model, PanopticFPN):
        if not aug.ENABLED:
            return _tiled(cfg, model)
        asked = ["TEST.AUG"]
    if not isinstance(model, SemanticSegmentor):
        raise ConfigError(
            f"{' and '.join(asked)} can't be used with a {type(model).__name__}, only with a "
            "SemanticSegmentor (TEST.SLIDING_WINDOW also with a GeneralizedRCNN); set ENABLED to "
            "False"
        )
    inference: nn.Module = model
    if window.ENABLED:
        strides = [shape.stride for shape in model.backbone.output_shape().values()]
        alignment = math.lcm(32, max(model.backbone.size_divisibility, 1), *strides)
        inference = SlidingWindow(
            model, window_size=window.SIZE, overlap=window.OVERLAP, alignment=alignment
        )
    if aug.ENABLED:
        inference = SemSegAugmentation(
            inference, min_sizes=aug.MIN_SIZES, max_size=aug.MAX_SIZE, flip=aug.FLIP
        )
    return inference


def _tiled(cfg: CfgNode, model: GeneralizedRCNN) -> TiledInstances:
    window = cfg.TEST.SLIDING_WINDOW
    return TiledInstances(
        model,
        tile_size=window.SIZE,
        overlap=window.OVERLAP,
        nms_threshold=cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST,
    )
