"""The head of fully convolutional networks (Long et al. 2015) on a dilated backbone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import configurable
from segsuite.errors import ConfigError
from segsuite.layers import Conv2d, ShapeSpec
from segsuite.modeling.losses import SemSegCriterion

from .build import SEM_SEG_HEADS_REGISTRY
from .head import SemSegHead


@SEM_SEG_HEADS_REGISTRY.register()
class FCNHead(SemSegHead):
    """A 3x3 convolution, dropout, and a 1x1 convolution to the classes, on one feature.

    Logits have the feature's stride: 8 or 16 with a backbone dilated accordingly.

    Args:
        convs_dim: channels of the 3x3 convolution; 0 for none, as DRN is used.
        norm: see `get_norm`.
        dropout: probability of a channel to be dropped in training.

    Raises:
        ValueError: not exactly one feature.
    """

    @configurable
    def __init__(self, *, convs_dim: int, norm: str = "BN", dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        if len(self.in_features) != 1:
            raise ConfigError(f"FCNHead reads one feature, got IN_FEATURES {self.in_features}")
        (shape,) = self.in_shapes
        self.stride = shape.stride
        channels = shape.channels
        self.conv = nn.Identity()
        if convs_dim:
            self.conv = Conv2d(channels, convs_dim, 3, norm=norm, activation=F.relu_)
            channels = convs_dim
        self.dropout = nn.Dropout2d(dropout)
        self.predictor = nn.Conv2d(channels, self.num_classes, 1)

    @classmethod
    def from_config(cls, cfg, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "convs_dim": c.CONVS_DIM,
            "norm": c.NORM,
            "dropout": c.DROPOUT,
        }

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        x = self.conv(features[self.in_features[0]])
        return self.predictor(self.dropout(x))


def build_aux_head(cfg, input_shape: dict[str, ShapeSpec]) -> FCNHead:
    """The auxiliary head of ``MODEL.AUX_HEAD``: an FCNHead with the main head's classes and losses,
    weighted by AUX_HEAD.LOSS_WEIGHT instead."""
    c = cfg.MODEL.AUX_HEAD
    return FCNHead(
        cfg,
        input_shape,
        in_features=c.IN_FEATURES,
        convs_dim=c.CONVS_DIM,
        criterion=SemSegCriterion(cfg, loss_weight=c.LOSS_WEIGHT),
    )
