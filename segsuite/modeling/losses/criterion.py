"""`SemSegCriterion`: the weighted losses of a semantic head."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import BilinearResize
from segsuite.structures import num_labels

from .build import SEM_SEG_LOSS_REGISTRY

_DEFAULT_LOSS = "cross_entropy"


class SemSegCriterion(nn.Module):
    """Weighted losses by name, computed in float32 at the size of the targets.

    Args:
        losses: weight of each loss, by its name in SEM_SEG_LOSS_REGISTRY.
        ignore_index: label that takes no part.
        class_weights: K numbers, or empty for none; of a model of one class two, of background and
            the class.
        options: further arguments, for the losses that have them.
        loss_weight: factor on all of them.

    Raises:
        UnknownNameError: unknown loss.
    """

    @configurable
    def __init__(
        self,
        *,
        losses: Mapping[str, float] | None = None,
        ignore_index: int = 255,
        class_weights: Sequence[float] = (),
        options: Mapping[str, Any] | None = None,
        loss_weight: float = 1.0,
    ):
        super().__init__()
        self.weights = {
            name: loss_weight * weight for name, weight in (losses or {_DEFAULT_LOSS: 1.0}).items()
        }
        self.resize = BilinearResize()
        self.functions = {name: SEM_SEG_LOSS_REGISTRY.get(name) for name in self.weights}
        options = {**(options or {}), "ignore_index": ignore_index, "class_weights": None}
        self.options = {}
        for name, function in self.functions.items():
            accepted = inspect.signature(function).parameters
            self.options[name] = {k: v for k, v in options.items() if k in accepted}
        weights = torch.tensor(class_weights, dtype=torch.float32) if class_weights else None
        self.register_buffer("class_weights", weights, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        loss_type = c.LOSS_TYPE or _DEFAULT_LOSS
        names = loss_type.split("+")
        weights = c.LOSS_TYPE_WEIGHTS or [1.0] * len(names)
        if len(weights) != len(names):
            raise ConfigError(
                f"MODEL.SEM_SEG_HEAD.LOSS_TYPE_WEIGHTS has {len(weights)} entries, but LOSS_TYPE "
                f"'{loss_type}' names {len(names)} losses"
            )
        class_weights = c.LOSS.CLASS_WEIGHTS
        if c.NUM_CLASSES == 1 and len(class_weights) == 1:
            class_weights = (1.0, *class_weights)
        if class_weights and len(class_weights) != num_labels(c.NUM_CLASSES):
            also = ": that of the class, or two, of background and the class"
            raise ConfigError(
                f"MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS has {len(class_weights)} entries; "
                f"it takes one for each class, and NUM_CLASSES is {c.NUM_CLASSES}"
                + (also if c.NUM_CLASSES == 1 else "")
            )
        return {
            "losses": dict(zip(names, weights, strict=True)),
            "ignore_index": c.IGNORE_VALUE,
            "class_weights": class_weights,
            "options": {key.lower(): v for key, v in c.LOSS.items() if v is not None},
            "loss_weight": c.LOSS_WEIGHT,
        }

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the losses.

        Args:
            logits: (N, K, h, w) of any float type; upsampled bilinearly to the targets' size.
            targets: (N, H, W) int64 in [0, K) or `ignore_index`; 0 or 1 where K = 1.

        Returns:
            ``{"loss_sem_seg": ()}`` for a single loss, else ``{"loss_sem_seg_<name>": ()}``.
        """
        losses = {}
        with torch.autocast(logits.device.type, enabled=False):
            # In NCHW memory softmax over the classes, and upsampling, are much faster on CPU.
            logits = logits.float().contiguous()
            height, width = targets.shape[-2:]
            if logits.shape[-2:] != (height, width):
                logits = self.resize(logits, (height, width))
            for name, function in self.functions.items():
                options = self.options[name]
                if "class_weights" in options:
                    options = {**options, "class_weights": self.class_weights}
                key = "loss_sem_seg" if len(self.functions) == 1 else f"loss_sem_seg_{name}"
                losses[key] = self.weights[name] * function(logits, targets, **options)
        return losses
