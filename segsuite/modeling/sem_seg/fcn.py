"""The head of fully convolutional networks (Long et al. 2015) on a dilated backbone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import Conv2d, ShapeSpec
from segsuite.modeling.losses import SemSegCriterion

from ..checks import check_positive, check_probability
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
        ConfigError: not exactly one feature.
    """

    reads_one_feature = True
    class_layers = ("predictor",)

    @configurable
    def __init__(
        self,
        *,
        convs_dim: int = 256,
        norm: str = "BN",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_positive("MODEL.SEM_SEG_HEAD.CONVS_DIM", convs_dim, or_zero=True)
        check_probability("MODEL.SEM_SEG_HEAD.DROPOUT", dropout)
        (shape,) = self.in_shapes
        self.stride = shape.stride
        channels = shape.channels
        self.conv: nn.Module = nn.Identity()
        if convs_dim:
            self.conv = Conv2d(channels, convs_dim, 3, norm=norm, activation=F.relu_)
            channels = convs_dim
        self.dropout = nn.Dropout2d(dropout)
        self.predictor = nn.Conv2d(channels, self.num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
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


def _aux_arguments(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
    c = cfg.MODEL.AUX_HEAD
    names = list(c.IN_FEATURES)
    if len(names) != 1 or names[0] not in input_shape:
        raise ConfigError(
            f"MODEL.AUX_HEAD.IN_FEATURES is {names}; the auxiliary head reads exactly one feature "
            f"of {', '.join(input_shape)}"
        )
    return {
        **FCNHead.from_config(cfg, input_shape),
        "in_features": names,
        "convs_dim": c.CONVS_DIM,
        "criterion": SemSegCriterion(cfg, loss_weight=c.LOSS_WEIGHT),
    }


@configurable(from_config=_aux_arguments)
def build_aux_head(**arguments: Any) -> FCNHead:
    """The auxiliary head of ``MODEL.AUX_HEAD``, by ``build_aux_head(cfg, input_shape)``: an FCNHead
    with the main head's classes, norm, dropout and losses, but AUX_HEAD.CONVS_DIM and
    AUX_HEAD.LOSS_WEIGHT."""
    return FCNHead(**arguments)
