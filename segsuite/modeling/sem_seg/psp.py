"""The head of PSPNet (Zhao et al. 2017, https://arxiv.org/abs/1612.01105)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.layers import Conv2d, PyramidPooling, ShapeSpec

from ..checks import (
    check_all_positive,
    check_kernel_size,
    check_positive,
    check_probability,
)
from .build import SEM_SEG_HEADS_REGISTRY
from .head import SemSegHead


@SEM_SEG_HEADS_REGISTRY.register()
class PSPHead(SemSegHead):
    """The feature joined by its averages over grids of several sizes, a 3x3 and a 1x1 convolution.

    Logits have the feature's stride: 8 or 16 with a backbone dilated accordingly.

    Args:
        pool_scales: cells along each side of the grids; each has the feature's channels divided by
            the number of grids. A grid of one cell has no norm: batch norm could not train on it
            with one image.
        convs_dim: channels of the 3x3 convolution.
        pool_align_corners: averages are upsampled with aligned corners, as in the original.
        norm: see `get_norm`.
        dropout: probability of a channel to be dropped before the last convolution in training.
        predictor_kernel_size: of the last convolution, an odd number; 1 in the paper.

    Raises:
        ConfigError: not exactly one feature, grids that are not different positive numbers, or an
            even kernel.
    """

    reads_one_feature = True
    class_layers = ("predictor",)

    @configurable
    def __init__(
        self,
        *,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        pool_align_corners: bool = True,
        convs_dim: int = 512,
        norm: str = "BN",
        dropout: float = 0.1,
        predictor_kernel_size: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_positive("MODEL.SEM_SEG_HEAD.CONVS_DIM", convs_dim)
        check_all_positive("MODEL.SEM_SEG_HEAD.POOL_SCALES", pool_scales, different=True)
        check_kernel_size("MODEL.SEM_SEG_HEAD.PREDICTOR_KERNEL_SIZE", predictor_kernel_size)
        check_probability("MODEL.SEM_SEG_HEAD.DROPOUT", dropout)
        (shape,) = self.in_shapes
        self.stride = shape.stride
        self.hidden_settings |= {
            "MODEL.SEM_SEG_HEAD.POOL_SCALES": list(pool_scales),
            "MODEL.SEM_SEG_HEAD.POOL_ALIGN_CORNERS": pool_align_corners,
        }
        self.pyramid = PyramidPooling(
            shape.channels,
            max(shape.channels // len(pool_scales), 1),
            bins=pool_scales,
            norm=norm,
            norm_of_one_cell="",
            align_corners=pool_align_corners,
        )
        self.conv = Conv2d(self.pyramid.out_channels, convs_dim, 3, norm=norm, activation=F.relu_)
        self.dropout = nn.Dropout2d(dropout)
        self.predictor = nn.Conv2d(
            convs_dim, self.num_classes, predictor_kernel_size, padding=predictor_kernel_size // 2
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "pool_scales": c.POOL_SCALES,
            "pool_align_corners": c.POOL_ALIGN_CORNERS,
            "convs_dim": c.CONVS_DIM,
            "norm": c.NORM,
            "dropout": c.DROPOUT,
            "predictor_kernel_size": c.PREDICTOR_KERNEL_SIZE,
        }

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        x = self.conv(self.pyramid(features[self.in_features[0]]))
        return self.predictor(self.dropout(x))
