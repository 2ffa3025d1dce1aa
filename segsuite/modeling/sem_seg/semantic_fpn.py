"""The semantic branch of Panoptic FPN (Kirillov et al. 2019, https://arxiv.org/abs/1901.02446)."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
class SemSegFPNHead(SemSegHead):
    """Brings the levels of a pyramid to one stride, adds them up and predicts.

    A level goes through a 3x3 convolution and a bilinear upsampling by two for each doubling that
    it is away from the common stride, and through one convolution where it has it already.

    Args:
        common_stride: of the sum and of the logits; the finest level's stride or a multiple.
        convs_dim: channels of the convolutions.
        norm: see `get_norm`.

    Raises:
        ConfigError: a stride that is not `common_stride` times a power of two.
    """

    class_layers = ("predictor",)

    @configurable
    def __init__(
        self,
        *,
        common_stride: int = 4,
        convs_dim: int = 128,
        norm: str = "GN",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_positive("MODEL.SEM_SEG_HEAD.CONVS_DIM", convs_dim)
        check_positive("MODEL.SEM_SEG_HEAD.COMMON_STRIDE", common_stride)
        self.stride = common_stride
        for name, shape in zip(self.in_features, self.in_shapes, strict=True):
            doublings = math.log2(shape.stride / common_stride)
            if doublings < 0 or doublings != int(doublings):
                raise ConfigError(
                    f"feature '{name}' has stride {shape.stride}; it must be "
                    f"MODEL.SEM_SEG_HEAD.COMMON_STRIDE ({common_stride}) times a power of two"
                )
            layers: list[nn.Module] = []
            channels = shape.channels
            for _ in range(max(1, int(doublings))):
                layers.append(Conv2d(channels, convs_dim, 3, norm=norm, activation=F.relu_))
                channels = convs_dim
                if doublings:
                    layers.append(nn.Upsample(scale_factor=2, mode="bilinear"))
            # Each level has its own name, as in Detectron2: p2.0.weight.
            self.add_module(name, nn.Sequential(*layers))
        self.predictor = Conv2d(convs_dim, self.num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "common_stride": c.COMMON_STRIDE,
            "convs_dim": c.CONVS_DIM,
            "norm": c.NORM,
        }

    @classmethod
    def default_features(cls, input_shape: Mapping[str, ShapeSpec]) -> list[str]:
        """The levels of a pyramid without what is made for large anchors alone, as in Detectron2;
        of other backbones all features."""
        levels = [name for name in ("p2", "p3", "p4", "p5") if name in input_shape]
        return levels or super().default_features(input_shape)

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        levels = [getattr(self, name)(features[name]) for name in self.in_features]
        # Odd sizes are rounded up, so that a coarser level may have rows and columns too many.
        height, width = (min(level.shape[dim] for level in levels) for dim in (-2, -1))
        total = levels[0][..., :height, :width]
        for level in levels[1:]:
            total = total + level[..., :height, :width]
        return self.predictor(total)
