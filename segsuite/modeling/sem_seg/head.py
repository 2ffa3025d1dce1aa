"""`SemSegHead`: what all semantic heads share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.layers import ShapeSpec
from segsuite.modeling.checks import check_positive
from segsuite.modeling.losses import SemSegCriterion
from segsuite.utils.registry import unknown_name


class SemSegHead(nn.Module, ABC):
    """Turns features into one score per class and pixel.

    A new head implements `forward`, sets `stride`, names its `class_layers`, and adds its own
    arguments to those of `from_config`.

    Args:
        input_shape: the features there are; the backbone's `output_shape()`.
        in_features: names of those the head reads; they are put in the order of their strides.
            None: all of them, or the coarsest for a head that reads one.
        num_classes: K, without the ignored label. 1 makes the logit that of a sigmoid, the
            probability of label 1; label 0 is background.
        criterion: the losses.
        align_corners: logits are enlarged by `stride` with the corners aligned, by `enlarged`,
            before they are compared with labels or predicted with, as in
            segmentation_models.pytorch. False: they are enlarged only where they are used, corners
            apart.

    Attributes:
        in_features: the names, finest feature first.
        in_shapes: the `ShapeSpec` of each of `in_features`, in that order.
        reads_one_feature: anything else than one feature is refused.
        class_layers: names of the layers (``"predictor"``, ``"score.pool4"``) whose output channels
            are the classes. Weights of other classes are carried over by name in these and in no
            other layer; a transposed convolution with as many inputs has classes for inputs, too.
            None: not said; such weights are refused where it is not plain which layer it is.
        sigmoid_of_one_class: see `num_classes`; by it, weights of one class become those of
            background and the class, and the reverse.
        stride: logits have ceil(image size / stride) pixels, or a little more where the head
            upsamples beyond its finest feature.
        hidden_settings: see `Backbone`.

    Raises:
        UnknownNameError: a name in `in_features` is not in `input_shape`.
        ConfigError: there is no name in it, or more than one for a head that reads one.
    """

    stride: int
    reads_one_feature: bool = False
    class_layers: Sequence[str] | None = None
    sigmoid_of_one_class = True

    def __init__(
        self,
        *,
        input_shape: dict[str, ShapeSpec],
        in_features: Sequence[str] | None = None,
        num_classes: int,
        criterion: SemSegCriterion | None = None,
        align_corners: bool = False,
    ):
        super().__init__()
        self.align_corners = align_corners
        self.hidden_settings: dict[str, Any] = {"MODEL.SEM_SEG_HEAD.ALIGN_CORNERS": align_corners}
        kind = type(self).__name__
        if in_features is None:
            in_features = self.default_features(input_shape)
        for name in in_features:
            if name not in input_shape:
                where = f"features that {kind} can read (IN_FEATURES)"
                raise UnknownNameError(unknown_name(name, input_shape, where))
        if not in_features or (self.reads_one_feature and len(in_features) > 1):
            count = "exactly one feature" if self.reads_one_feature else "one feature or more"
            raise ConfigError(
                f"MODEL.SEM_SEG_HEAD.IN_FEATURES is {list(in_features)}; {kind} reads {count} of "
                f"{', '.join(input_shape)}"
            )
        check_positive("MODEL.SEM_SEG_HEAD.NUM_CLASSES", num_classes)
        self.in_features = sorted(in_features, key=lambda name: input_shape[name].stride)
        self.in_shapes = [input_shape[name] for name in self.in_features]
        self.num_classes = num_classes
        self.criterion = criterion or SemSegCriterion()

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            "input_shape": input_shape,
            "in_features": c.IN_FEATURES,
            "num_classes": c.NUM_CLASSES,
            "criterion": SemSegCriterion(cfg),
            "align_corners": c.ALIGN_CORNERS,
        }

    @abstractmethod
    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        """{name: (N, C, H / s, W / s)} -> logits (N, K, H / stride, W / stride)."""

    @classmethod
    def default_features(cls, input_shape: Mapping[str, ShapeSpec]) -> list[str]:
        """What is read unless it is said."""
        names = sorted(input_shape, key=lambda name: input_shape[name].stride)
        return names[-1:] if cls.reads_one_feature else names

    def training_losses(
        self, features: dict[str, torch.Tensor], targets: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The losses of `forward`'s logits, and of further predictions that a head learns from.

        Args:
            targets: (N, H, W) int64.
        """
        return self.losses(self(features), targets)

    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """The losses of logits (N, K, h, w) for targets (N, H, W) int64 in [0, K), of one class 0
        or 1, by name."""
        if self.align_corners:
            height, width = targets.shape[-2:]
            logits = self.enlarged(logits)[0][..., :height, :width]
        return self.criterion(logits, targets)

    def enlarged(self, logits: torch.Tensor) -> tuple[torch.Tensor, int]:
        """`forward`'s logits as they are used, and their stride: with `align_corners` (N, K, h *
        stride, w * stride) and 1."""
        if not self.align_corners or self.stride == 1:
            return logits, self.stride
        size = (logits.shape[-2] * self.stride, logits.shape[-1] * self.stride)
        return F.interpolate(logits, size, mode="bilinear", align_corners=True), 1
