"""UPerNet (Xiao et al. 2018, https://arxiv.org/abs/1807.10221)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import Conv2d, PyramidPooling, ShapeSpec, get_norm, set_layer_norm_eps

from ..checks import check_all_positive, check_positive, check_probability
from .build import SEM_SEG_HEADS_REGISTRY
from .head import SemSegHead


@SEM_SEG_HEADS_REGISTRY.register()
class UPerNetHead(SemSegHead):
    """Pyramid pooling on the coarsest feature, a feature pyramid over all, joined and fused.

    Logits have the stride of the finest feature.

    Args:
        pool_scales: cells along each side of the grids of the pyramid pooling.
        convs_dim: channels of every convolution; 512 in the paper.
        norm: see `get_norm`.
        feature_norm: norm of each feature before anything else, "" for none. Transformers and
            ConvNeXt leave theirs without one; "LN" is what UPerNet has on them.
        feature_norm_eps: epsilon of "LN".
        dropout: probability of a channel to be dropped before the last convolution in training.

    Raises:
        ConfigError: fewer than two features.
    """

    class_layers = ("predictor",)

    @configurable
    def __init__(
        self,
        *,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        convs_dim: int = 512,
        norm: str = "BN",
        feature_norm: str = "",
        feature_norm_eps: float = 1e-6,
        dropout: float = 0.1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if len(self.in_features) < 2:
            raise ConfigError(
                f"UPerNetHead joins two features or more, got IN_FEATURES {self.in_features}"
            )
        check_positive("MODEL.SEM_SEG_HEAD.CONVS_DIM", convs_dim)
        check_all_positive("MODEL.SEM_SEG_HEAD.POOL_SCALES", pool_scales, different=True)
        check_probability("MODEL.SEM_SEG_HEAD.DROPOUT", dropout)
        *finer, coarsest = self.in_shapes
        self.stride = self.in_shapes[0].stride

        def conv(in_channels: int, kernel_size: int) -> Conv2d:
            return Conv2d(in_channels, convs_dim, kernel_size, norm=norm, activation=F.relu_)

        self.feature_norms = nn.ModuleList(
            get_norm(feature_norm, shape.channels) or nn.Identity() for shape in self.in_shapes
        )
        self.hidden_settings["MODEL.SEM_SEG_HEAD.POOL_SCALES"] = list(pool_scales)
        if feature_norm == "LN":
            self.hidden_settings["MODEL.UPERNET.FEATURE_NORM_EPS"] = feature_norm_eps
            set_layer_norm_eps(self.feature_norms, feature_norm_eps)
        pooling = PyramidPooling(coarsest.channels, convs_dim, bins=pool_scales, norm=norm)
        # The names that published checkpoints are converted to: pooling.convs.0.weight.
        self.pooling = nn.ModuleDict({"convs": pooling})
        self.pooling_conv = conv(pooling.out_channels, 3)
        self.lateral_convs = nn.ModuleList(conv(shape.channels, 1) for shape in finer)
        self.output_convs = nn.ModuleList(conv(convs_dim, 3) for _ in finer)
        self.fusion_conv = conv(len(self.in_shapes) * convs_dim, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.predictor = nn.Conv2d(convs_dim, self.num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "pool_scales": c.POOL_SCALES,
            "convs_dim": c.CONVS_DIM,
            "norm": c.NORM,
            "feature_norm": cfg.MODEL.UPERNET.FEATURE_NORM,
            "feature_norm_eps": cfg.MODEL.UPERNET.FEATURE_NORM_EPS,
            "dropout": c.DROPOUT,
        }

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        *finer, coarsest = (
            norm(features[name])
            for norm, name in zip(self.feature_norms, self.in_features, strict=True)
        )
        x = self.pooling_conv(self.pooling["convs"](coarsest))
        pyramid = [x]
        for feature, lateral, output in reversed(
            list(zip(finer, self.lateral_convs, self.output_convs, strict=True))
        ):
            x = lateral(feature) + _resize(x, feature)
            pyramid.insert(0, output(x))
        x = self.fusion_conv(torch.cat([_resize(p, pyramid[0]) for p in pyramid], dim=1))
        return self.predictor(self.dropout(x))


def _resize(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    size = like.shape[-2:]
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
