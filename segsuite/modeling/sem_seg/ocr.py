"""Object-contextual representations (Yuan et al. 2020, https://arxiv.org/abs/1909.11065)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.layers import Conv2d, ShapeSpec, conv1x1_of_joined

from ..checks import check_positive, check_probability
from .build import SEM_SEG_HEADS_REGISTRY
from .head import SemSegHead


@SEM_SEG_HEADS_REGISTRY.register()
class OCRHead(SemSegHead):
    """Pixels attend to the mean features of the regions that a first, coarse prediction names; of
    one class these are the class and background.

    The features are joined at the finest one's size, whose stride the logits have. The first
    prediction has losses of its own in training, their names ending in "_regions".

    Args:
        convs_dim: channels of the pixels' features, 512 in the paper.
        key_dim: channels in which pixels and regions are compared, 256 in the paper.
        norm: see `get_norm`.
        dropout: probability of a channel to be dropped before the last convolution in training.
        region_loss_weight: factor on the losses of the first prediction.
    """

    class_layers = ("region_predictor", "predictor")

    @configurable
    def __init__(
        self,
        *,
        convs_dim: int = 512,
        key_dim: int = 256,
        norm: str = "BN",
        dropout: float = 0.05,
        region_loss_weight: float = 0.4,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_positive("MODEL.SEM_SEG_HEAD.CONVS_DIM", convs_dim)
        check_positive("MODEL.OCR.KEY_DIM", key_dim)
        check_probability("MODEL.SEM_SEG_HEAD.DROPOUT", dropout)
        self.stride = self.in_shapes[0].stride
        self.region_loss_weight = region_loss_weight
        channels = sum(shape.channels for shape in self.in_shapes)
        self.region_conv = Conv2d(channels, channels, 1, norm=norm, activation=F.relu_)
        self.region_predictor = nn.Conv2d(channels, self.num_classes, 1)
        self.pixel_conv = Conv2d(channels, convs_dim, 3, norm=norm, activation=F.relu_)
        self.attention = _RegionAttention(convs_dim, key_dim, norm)
        self.conv = Conv2d(2 * convs_dim, convs_dim, 1, norm=norm, activation=F.relu_)
        self.dropout = nn.Dropout2d(dropout)
        self.predictor = nn.Conv2d(convs_dim, self.num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "convs_dim": c.CONVS_DIM,
            "key_dim": cfg.MODEL.OCR.KEY_DIM,
            "norm": c.NORM,
            "dropout": c.DROPOUT,
            "region_loss_weight": cfg.MODEL.OCR.REGION_LOSS_WEIGHT,
        }

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.classify(features, self.regions(features))

    def training_losses(
        self, features: dict[str, torch.Tensor], targets: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        regions = self.regions(features)
        losses = self.losses(self.classify(features, regions), targets)
        for name, loss in self.losses(regions, targets).items():
            losses[f"{name}_regions"] = self.region_loss_weight * loss
        return losses

    def regions(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        """The first prediction: logits (N, K, H / stride, W / stride)."""
        x = conv1x1_of_joined([features[name] for name in self.in_features], self.region_conv)
        return self.region_predictor(x)

    def classify(self, features: dict[str, torch.Tensor], regions: torch.Tensor) -> torch.Tensor:
        """The logits, given those of the first prediction."""
        size = regions.shape[-2:]
        joined = [
            F.interpolate(features[name], size, mode="bilinear", align_corners=False)
            if features[name].shape[-2:] != size
            else features[name]
            for name in self.in_features
        ]
        pixels = self.pixel_conv(torch.cat(joined, dim=1))
        if self.num_classes == 1:  # to attend to a single region would be to attend to nothing
            regions = torch.cat([-regions, regions], dim=1)
        context = self.attention(pixels, regions)
        return self.predictor(self.dropout(self.conv(torch.cat([context, pixels], dim=1))))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Training and evaluation go different ways through the same two halves."""
        # The compiled halves take the place of the methods in this object alone.
        self.regions = torch.compile(self.regions, *args, **kwargs)  # type: ignore[method-assign]
        self.classify = torch.compile(self.classify, *args, **kwargs)  # type: ignore[method-assign]


class _RegionAttention(nn.Module):
    """What each pixel gets from the regions like it."""

    def __init__(self, channels: int, key_dim: int, norm: str):
        super().__init__()

        def conv(in_channels: int, out_channels: int) -> Conv2d:
            return Conv2d(in_channels, out_channels, 1, norm=norm, activation=F.relu_)

        self.query = nn.Sequential(conv(channels, key_dim), conv(key_dim, key_dim))
        self.key = nn.Sequential(conv(channels, key_dim), conv(key_dim, key_dim))
        self.value = conv(channels, key_dim)
        self.out = conv(key_dim, channels)

    def forward(self, pixels: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
        """
        Args:
            pixels: features (N, C, H, W).
            regions: logits (N, K, H, W).

        Returns:
            (N, C, H, W).
        """
        # Each class's region is the mean of the pixels, weighted by how much they look like it.
        shares = regions.flatten(2).softmax(dim=2).to(pixels.dtype)
        means = (shares @ pixels.flatten(2).transpose(1, 2)).transpose(1, 2).unsqueeze(-1)
        query, key, value = self.query(pixels), self.key(means), self.value(means)
        # With a dimension for the one head there is: exporters and fast kernels know no other form.
        context = F.scaled_dot_product_attention(
            *(x.flatten(2).transpose(1, 2).unsqueeze(1) for x in (query, key, value))
        ).squeeze(1)
        context = context.transpose(1, 2).unflatten(2, pixels.shape[-2:])
        return self.out(context)
