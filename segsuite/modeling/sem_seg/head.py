"""`SemSegHead`: what all semantic heads share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from segsuite.errors import UnknownNameError
from segsuite.layers import ShapeSpec
from segsuite.modeling.losses import SemSegCriterion
from segsuite.utils.registry import unknown_name


class SemSegHead(nn.Module, ABC):
    """Turns features into one score per class and pixel.

    A new head implements `forward`, sets `stride`, and adds its own arguments to those of
    `from_config`.

    Args:
        input_shape: the features there are; the backbone's `output_shape()`.
        in_features: names of those the head reads.
        num_classes: K, without the ignored label.
        criterion: the losses.

    Attributes:
        in_shapes: the `ShapeSpec` of each of `in_features`, in that order.
        stride: logits have ceil(image size / stride) pixels, or a little more where the head
            upsamples beyond its finest feature.

    Raises:
        KeyError: a name in `in_features` is not in `input_shape`.
    """

    stride: int

    def __init__(
        self,
        *,
        input_shape: dict[str, ShapeSpec],
        in_features: Sequence[str],
        num_classes: int,
        criterion: SemSegCriterion | None = None,
    ):
        super().__init__()
        for name in in_features:
            if name not in input_shape:
                where = f"features that {type(self).__name__} can read (IN_FEATURES)"
                raise UnknownNameError(unknown_name(name, input_shape, where))
        self.in_features = list(in_features)
        self.in_shapes = [input_shape[name] for name in in_features]
        self.num_classes = num_classes
        self.criterion = criterion or SemSegCriterion()

    @classmethod
    def from_config(cls, cfg, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            "input_shape": input_shape,
            "in_features": c.IN_FEATURES,
            "num_classes": c.NUM_CLASSES,
            "criterion": SemSegCriterion(cfg),
        }

    @abstractmethod
    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        """{name: (N, C, H / s, W / s)} -> logits (N, K, H / stride, W / stride)."""

    def sort_features(self) -> None:
        """Put `in_features` and `in_shapes` in the order of their strides, finest first."""
        order = sorted(range(len(self.in_features)), key=lambda i: self.in_shapes[i].stride)
        self.in_features = [self.in_features[i] for i in order]
        self.in_shapes = [self.in_shapes[i] for i in order]

    def training_losses(
        self, features: dict[str, torch.Tensor], targets: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The losses of `forward`'s logits, and of further predictions that a head learns from.

        Args:
            targets: (N, H, W) int64.
        """
        return self.losses(self(features), targets)

    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """The losses of logits (N, K, h, w) for targets (N, H, W) int64, by name."""
        return self.criterion(logits, targets)
