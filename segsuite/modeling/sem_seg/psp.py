"""The head of PSPNet (Zhao et al. 2017, https://arxiv.org/abs/1612.01105)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import configurable
from segsuite.errors import ConfigError
from segsuite.layers import Conv2d, ShapeSpec

from .build import SEM_SEG_HEADS_REGISTRY
from .head import SemSegHead


@SEM_SEG_HEADS_REGISTRY.register()
class PSPHead(SemSegHead):
    """The feature joined by its averages over grids of several sizes, a 3x3 and a 1x1 convolution.

    Logits have the feature's stride: 8 or 16 with a backbone dilated accordingly. As in the
    original, averages are upsampled with aligned corners.

    Args:
        pool_scales: cells along each side of the grids; each has the feature's channels divided by
            the number of grids. A grid of one cell has no norm: batch norm could not train on it
            with one image.
        convs_dim: channels of the 3x3 convolution.
        norm: see `get_norm`.
        dropout: probability of a channel to be dropped before the last convolution in training.
        predictor_kernel_size: of the last convolution, an odd number; 1 in the paper.

    Raises:
        ValueError: not exactly one feature.
    """

    @configurable
    def __init__(
        self,
        *,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        convs_dim: int = 512,
        norm: str = "BN",
        dropout: float = 0.1,
        predictor_kernel_size: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if len(self.in_features) != 1:
            raise ConfigError(f"PSPHead reads one feature, got IN_FEATURES {self.in_features}")
        (shape,) = self.in_shapes
        self.stride = shape.stride
        self.pool_scales = tuple(pool_scales)
        channels = shape.channels // len(self.pool_scales)
        self.pyramid = nn.ModuleList(
            Conv2d(shape.channels, channels, 1, norm=norm if scale > 1 else "", activation=F.relu_)
            for scale in self.pool_scales
        )
        self.conv = Conv2d(
            shape.channels + channels * len(self.pool_scales),
            convs_dim,
            3,
            norm=norm,
            activation=F.relu_,
        )
        self.dropout = nn.Dropout2d(dropout)
        self.predictor = nn.Conv2d(
            convs_dim, self.num_classes, predictor_kernel_size, padding=predictor_kernel_size // 2
        )

    @classmethod
    def from_config(cls, cfg, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "pool_scales": c.POOL_SCALES,
            "convs_dim": c.CONVS_DIM,
            "norm": c.NORM,
            "dropout": c.DROPOUT,
            "predictor_kernel_size": c.PREDICTOR_KERNEL_SIZE,
        }

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        x = features[self.in_features[0]]
        joined = [x]
        for scale, conv in zip(self.pool_scales, self.pyramid, strict=True):
            pooled = conv(F.adaptive_avg_pool2d(x, scale))
            joined.append(F.interpolate(pooled, x.shape[-2:], mode="bilinear", align_corners=True))
        x = self.conv(torch.cat(joined, dim=1))
        return self.predictor(self.dropout(x))
