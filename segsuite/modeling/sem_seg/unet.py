"""The expanding path of U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import Conv2d, ShapeSpec

from ..checks import check_all_positive, check_kernel_size, check_probability
from .build import SEM_SEG_HEADS_REGISTRY
from .head import SemSegHead


@SEM_SEG_HEADS_REGISTRY.register()
class UNetHead(SemSegHead):
    """Upsamples the coarsest feature step by step and joins the finer ones on the way.

    On `UNetEncoder` with transposed convolutions this is the 2015 network; any backbone whose
    features have strides that double (or stay, in dilated stages) will do.

    Args:
        decoder_channels: of each level, coarse to fine. One level for each feature but the coarsest
            gives logits at the stride of the finest feature; each level more halves the stride,
            without a feature to join. ResNet's ("res2", ..., "res5") with 3 levels: stride 4, with
            5: stride 1.
        norm: see `get_norm`; the paper has none.
        upsampling: "nearest", "bilinear", or "transposed" for the paper's 2x2 up-convolution.
        dropout: probability of a channel to be dropped before the last convolution in training.
        predictor_kernel_size: of the last convolution, an odd number; 1 in the paper.

    Raises:
        ConfigError: strides that are not a chain of doublings, or too few or too many levels.
    """

    class_layers = ("predictor",)

    @configurable
    def __init__(
        self,
        *,
        decoder_channels: Sequence[int] = (256, 128, 64, 32),
        norm: str = "BN",
        upsampling: str = "nearest",
        dropout: float = 0.0,
        predictor_kernel_size: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_all_positive("MODEL.SEM_SEG_HEAD.DECODER_CHANNELS", decoder_channels)
        check_kernel_size("MODEL.SEM_SEG_HEAD.PREDICTOR_KERNEL_SIZE", predictor_kernel_size)
        check_probability("MODEL.SEM_SEG_HEAD.DROPOUT", dropout)
        self.in_features.reverse()
        self.in_shapes.reverse()
        coarsest, *skips = self.in_shapes
        if len(decoder_channels) < len(skips):
            raise ConfigError(
                f"DECODER_CHANNELS {list(decoder_channels)} has {len(decoder_channels)} levels; "
                f"joining the features {self.in_features} takes {len(skips)}"
            )
        channels, self.stride = coarsest.channels, coarsest.stride
        self.blocks = nn.ModuleList()
        for i, out_channels in enumerate(decoder_channels):
            skip = skips[i] if i < len(skips) else ShapeSpec(0, self.stride // 2)
            scale = self.stride // max(skip.stride, 1)
            if skip.stride * scale != self.stride or scale not in (1, 2):
                raise ConfigError(
                    f"level {i} of UNetHead goes from stride {self.stride} to {skip.stride}; the "
                    f"strides of IN_FEATURES {self.in_features} must double, and levels end at 1"
                )
            self.blocks.append(
                _DecoderBlock(channels, skip.channels, out_channels, scale, norm, upsampling)
            )
            channels, self.stride = out_channels, skip.stride
        self.hidden_settings["MODEL.SEM_SEG_HEAD.UPSAMPLING"] = upsampling
        self.dropout = nn.Dropout2d(dropout)
        self.predictor = nn.Conv2d(
            channels, self.num_classes, predictor_kernel_size, padding=predictor_kernel_size // 2
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "decoder_channels": c.DECODER_CHANNELS,
            "norm": c.NORM,
            "upsampling": c.UPSAMPLING,
            "dropout": c.DROPOUT,
            "predictor_kernel_size": c.PREDICTOR_KERNEL_SIZE,
        }

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        x, *skips = (features[name] for name in self.in_features)
        for i, block in enumerate(self.blocks):
            x = block(x, skips[i] if i < len(skips) else None)
        return self.predictor(self.dropout(x))


class _DecoderBlock(nn.Module):
    """Upsample, join the finer feature, convolve twice."""

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        scale: int,
        norm: str,
        upsampling: str,
    ):
        super().__init__()
        if upsampling == "transposed":
            self.up: nn.Module = nn.ConvTranspose2d(in_channels, out_channels, scale, stride=scale)
            in_channels = out_channels
        elif upsampling in ("nearest", "bilinear"):
            self.up = (
                nn.Upsample(scale_factor=scale, mode=upsampling) if scale > 1 else nn.Identity()
            )
        else:
            raise ConfigError(
                f"UPSAMPLING is '{upsampling}'; it may be 'nearest', 'bilinear' or 'transposed'"
            )
        self.conv1 = Conv2d(
            in_channels + skip_channels, out_channels, 3, norm=norm, activation=F.relu_
        )
        self.conv2 = Conv2d(out_channels, out_channels, 3, norm=norm, activation=F.relu_)

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        x = self.up(x)
        if skip is not None:
            # Odd sizes are rounded up, so that twice the coarser one may have a row too many.
            x = torch.cat([x[..., : skip.shape[-2], : skip.shape[-1]], skip], dim=1)
        return self.conv2(self.conv1(x))
