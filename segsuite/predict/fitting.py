"""`FittingInference`: images whole, or in windows where the whole does not fit into the memory."""

from __future__ import annotations

import functools
import logging
from typing import Any

from torch import nn

from segsuite.config import CfgNode
from segsuite.modeling import SemanticSegmentor, build_inference
from segsuite.modeling.inference import peak_activation_bytes
from segsuite.utils.memory import free_memory

logger = logging.getLogger(__name__)

_MIB = 2**20


class FittingInference:
    """Runs a model on single images as TEST says; a semantic one in windows where it must.

    That is where the image is larger than TEST.SLIDING_WINDOW.SIZE, and the activations of the
    whole, see `peak_activation_bytes`, take more than TEST.SLIDING_WINDOW.MEMORY_LIMIT MiB, or for
    0, than half of what is free. It is decided once for each size of images, and logged.

    Args:
        cfg: a configuration.
        model: built from it, in evaluation mode.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module):
        self._cfg, self._model = cfg, model
        self._whole = build_inference(cfg, model)
        self._may_cut = not cfg.TEST.SLIDING_WINDOW.ENABLED
        self._chosen: dict[tuple[int, ...], nn.Module] = {}

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """The outputs of the model for the record of one image."""
        size = (*record["image"].shape[-2:], record.get("height"), record.get("width"))
        if size not in self._chosen:
            self._chosen[size] = self._windows if self._must_cut(record) else self._whole
        return self._chosen[size]([record])[0]

    @functools.cached_property
    def _windows(self) -> nn.Module:
        cfg = self._cfg.clone()
        cfg.TEST.SLIDING_WINDOW.ENABLED = True
        return build_inference(cfg, self._model)

    def _must_cut(self, record: dict[str, Any]) -> bool:
        height, width = record["image"].shape[-2:]
        model, window = self._model, self._cfg.TEST.SLIDING_WINDOW
        if not isinstance(model, SemanticSegmentor) or not self._may_cut:
            return False
        if height <= window.SIZE[0] and width <= window.SIZE[1]:
            return False
        limit, source = window.MEMORY_LIMIT * _MIB, "TEST.SLIDING_WINDOW.MEMORY_LIMIT"
        if not limit:
            free = free_memory(model.device)
            if free is None:
                return False
            limit, source = free // 2, "half of what is free"
        try:
            needed = peak_activation_bytes(self._whole, record)
        except RuntimeError as e:
            logger.warning(
                "an image of %d x %d pixels (height x width) is predicted as a whole: what memory "
                "it takes is unknown (%s); if there is not enough, set "
                "TEST.SLIDING_WINDOW.ENABLED True",
                *(height, width, str(e).partition("\n")[0]),
            )
            return False
        if needed <= limit:
            return False
        logger.warning(
            "an image of %d x %d pixels (height x width) would take %.0f MiB at once, more than "
            "%.0f MiB (%s): images of this size are predicted in windows of %d x %d",
            *(height, width, needed / _MIB, limit / _MIB),
            *(source, *window.SIZE),
        )
        return True
