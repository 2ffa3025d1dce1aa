"""The head of SegFormer (Xie et al. 2021, https://arxiv.org/abs/2105.15203)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.layers import Conv2d, ShapeSpec, sum_of_upsampled_convs

from ..checks import check_positive, check_probability
from .build import SEM_SEG_HEADS_REGISTRY
from .head import SemSegHead


@SEM_SEG_HEADS_REGISTRY.register()
class SegFormerHead(SemSegHead):
    """A linear layer for each feature, upsampling to the finest one's size, and a linear fusion.

    Logits have the stride of the finest feature. Parameters are named as in the authors'
    checkpoints, `linear_c1` for the finest feature. Nothing nonlinear lies between the first layers
    and the fusion, so both are multiplied into one matrix for each feature, which is applied before
    upsampling: the same function, for a fraction of the operations.

    Args:
        embedding_dim: channels after each linear layer; 256 for B0 and B1, else 768.
        norm: see `get_norm`.
        dropout: probability of a channel to be dropped before the last convolution in training.
    """

    class_layers = ("linear_pred",)

    @configurable
    def __init__(
        self, *, embedding_dim: int = 256, norm: str = "BN", dropout: float = 0.1, **kwargs: Any
    ):
        super().__init__(**kwargs)
        check_positive("MODEL.SEM_SEG_HEAD.CONVS_DIM", embedding_dim)
        check_probability("MODEL.SEM_SEG_HEAD.DROPOUT", dropout)
        self.stride = self.in_shapes[0].stride
        for i, shape in enumerate(self.in_shapes, 1):
            proj = nn.Linear(shape.channels, embedding_dim)
            self.add_module(f"linear_c{i}", nn.ModuleDict({"proj": proj}))
        self.linear_fuse = Conv2d(
            len(self.in_shapes) * embedding_dim, embedding_dim, 1, norm=norm, activation=F.relu_
        )
        self.dropout = nn.Dropout2d(dropout)
        self.linear_pred = nn.Conv2d(embedding_dim, self.num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "embedding_dim": c.CONVS_DIM,
            "norm": c.NORM,
            "dropout": c.DROPOUT,
        }

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        count = len(self.in_features)
        layers = [getattr(self, f"linear_c{i + 1}")["proj"] for i in range(count)]
        # The authors join the features from the coarsest on.
        fuse = self.linear_fuse.weight.flatten(1).chunk(count, dim=1)[::-1]
        x = sum_of_upsampled_convs(
            [features[name] for name in self.in_features],
            [matrix @ layer.weight for matrix, layer in zip(fuse, layers, strict=True)],
            [matrix @ layer.bias for matrix, layer in zip(fuse, layers, strict=True)],
        )
        if self.linear_fuse.bias is not None:
            x = x + self.linear_fuse.bias.view(-1, 1, 1)
        return self.linear_pred(self.dropout(self.linear_fuse.finish(x)))
