"""The head of HRNetV2 (Wang et al. 2019, https://arxiv.org/abs/1908.07919)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.layers import Conv2d, ShapeSpec, conv1x1_of_joined

from ..checks import check_probability
from .build import SEM_SEG_HEADS_REGISTRY
from .head import SemSegHead


@SEM_SEG_HEADS_REGISTRY.register()
class HRNetV2Head(SemSegHead):
    """Joins the features at the finest one's size, mixes them by a 1x1 convolution, and predicts.

    Logits have the stride of the finest feature.

    Args:
        norm: see `get_norm`.
        dropout: probability of a channel to be dropped before the last convolution in training.
    """

    class_layers = ("predictor",)

    @configurable
    def __init__(self, *, norm: str = "BN", dropout: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        check_probability("MODEL.SEM_SEG_HEAD.DROPOUT", dropout)
        self.stride = self.in_shapes[0].stride
        channels = sum(shape.channels for shape in self.in_shapes)
        self.conv = Conv2d(channels, channels, 1, norm=norm, activation=F.relu_)
        self.dropout = nn.Dropout2d(dropout)
        self.predictor = nn.Conv2d(channels, self.num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {**super().from_config(cfg, input_shape), "norm": c.NORM, "dropout": c.DROPOUT}

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        x = conv1x1_of_joined([features[name] for name in self.in_features], self.conv)
        return self.predictor(self.dropout(x))
