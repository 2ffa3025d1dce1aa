"""The Lite R-ASPP head of MobileNetV3 (Howard et al. 2019, https://arxiv.org/abs/1905.02244)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import Conv2d, ShapeSpec

from ..checks import check_positive
from .build import SEM_SEG_HEADS_REGISTRY
from .head import SemSegHead


@SEM_SEG_HEADS_REGISTRY.register()
class LRASPPHead(SemSegHead):
    """Classifies a coarse feature, weighted by channel from its mean over the image, and adds the
    scores of a finer one. Logits have the finer one's stride.

    The mean is over the whole map, as in torchvision; the paper's is over windows of 49x49.

    Args:
        convs_dim: channels between the coarse feature and its classifier; the paper has 128.
        norm: see `get_norm`.

    Raises:
        ConfigError: not exactly two features of different strides.
    """

    class_layers = ("fine_predictor", "coarse_predictor")

    @configurable
    def __init__(self, *, convs_dim: int = 128, norm: str = "BN", **kwargs: Any):
        super().__init__(**kwargs)
        strides = {shape.stride for shape in self.in_shapes}
        if len(self.in_features) != 2 or len(strides) != 2:
            raise ConfigError(
                "LRASPPHead reads a fine and a coarse feature, got IN_FEATURES "
                f"{self.in_features} of strides {[shape.stride for shape in self.in_shapes]}"
            )
        check_positive("MODEL.SEM_SEG_HEAD.CONVS_DIM", convs_dim)
        fine, coarse = self.in_shapes
        self.stride = fine.stride
        self.conv = Conv2d(coarse.channels, convs_dim, 1, norm=norm, activation=F.relu_)
        self.gate = nn.Conv2d(coarse.channels, convs_dim, 1, bias=False)
        self.fine_predictor = nn.Conv2d(fine.channels, self.num_classes, 1)
        self.coarse_predictor = nn.Conv2d(convs_dim, self.num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "convs_dim": c.CONVS_DIM,
            "norm": c.NORM,
        }

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        fine, coarse = (features[name] for name in self.in_features)
        gate = self.gate(F.adaptive_avg_pool2d(coarse, 1)).sigmoid()
        x = self.conv(coarse) * gate
        # The classifier is linear: before the upsampling it gives the same, at less cost.
        x = F.interpolate(self.coarse_predictor(x), size=fine.shape[-2:], mode="bilinear")
        return self.fine_predictor(fine) + x
