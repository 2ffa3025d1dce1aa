"""FCN-32s, 16s and 8s (Long et al. 2015, https://arxiv.org/abs/1411.4038)."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import ShapeSpec

from .build import SEM_SEG_HEADS_REGISTRY
from .head import SemSegHead


@SEM_SEG_HEADS_REGISTRY.register()
class FCNSkipHead(SemSegHead):
    """Scores each feature by a 1x1 convolution; coarse scores are upsampled and added to fine ones.

    With ("fc7",) of `VGG` this is FCN-32s, with ("pool4", "fc7") FCN-16s and with ("pool3",
    "pool4", "fc7") FCN-8s. Transposed convolutions, which start as bilinear interpolation, double
    the resolution. Scores of finer features start at zero, so that a network initialised from a
    checkpoint of the one before predicts what that one does. What they share has the same name.

    Args:
        to_full_size: a transposed convolution brings the logits to stride 1. Otherwise they have
            the finest feature's stride, and are interpolated where they are used, as the paper's
            last layer is fixed to do.

    Raises:
        ConfigError: strides of the features do not double from one to the next.
    """

    @configurable
    def __init__(self, *, to_full_size: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        shapes = dict(zip(self.in_features, self.in_shapes, strict=True))
        strides = [shape.stride for shape in self.in_shapes]
        if any(2 * a != b for a, b in itertools.pairwise(strides)):
            raise ConfigError(
                f"FCNSkipHead doubles the resolution from feature to feature, but IN_FEATURES "
                f"{self.in_features} have strides {strides}"
            )
        *finer, coarsest = self.in_features
        scores = {
            name: nn.Conv2d(shapes[name].channels, self.num_classes, 1) for name in self.in_features
        }
        for layer in scores.values():
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        nn.init.normal_(scores[coarsest].weight, std=0.01)
        self.score = nn.ModuleDict(scores)
        self.up = nn.ModuleDict()
        for name in finer:
            nn.init.zeros_(scores[name].weight)
            self.up[name] = _bilinear_upsampling(self.num_classes, 2)
        self.stride = strides[0]
        self.to_full_size = nn.ModuleDict()
        if to_full_size and self.stride > 1:
            self.to_full_size[f"from_stride_{self.stride}"] = _bilinear_upsampling(
                self.num_classes, self.stride
            )
            self.stride = 1
        # Upsampling takes the scores of a class from those of the same one.
        names = {"score": self.score, "up": self.up, "to_full_size": self.to_full_size}
        self.class_layers = [
            f"{name}.{layer}" for name, layers in names.items() for layer in layers
        ]

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        return {
            **super().from_config(cfg, input_shape),
            "to_full_size": cfg.MODEL.SEM_SEG_HEAD.TO_FULL_SIZE,
        }

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        *finer, coarsest = self.in_features
        x = self.score[coarsest](features[coarsest])
        for name in reversed(finer):
            score = self.score[name](features[name])
            # Odd sizes are rounded up, so that twice the coarser one may have a row too many.
            x = self.up[name](x)[..., : score.shape[-2], : score.shape[-1]] + score
        for up in self.to_full_size.values():
            x = up(x)
        return x


def _bilinear_upsampling(channels: int, factor: int) -> nn.ConvTranspose2d:
    """Multiplies the size by `factor`, an even number, at first by interpolating each channel."""
    kernel_size = 2 * factor
    conv = nn.ConvTranspose2d(
        channels, channels, kernel_size, stride=factor, padding=factor // 2, bias=False
    )
    centres = (torch.arange(kernel_size) + 0.5) / factor - 1
    weights = 1 - centres.abs()
    nn.init.zeros_(conv.weight)
    with torch.no_grad():
        for i in range(channels):
            conv.weight[i, i] = weights[:, None] * weights
    return conv
