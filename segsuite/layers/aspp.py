"""`ASPP`: atrous spatial pyramid pooling (Chen et al. 2017, https://arxiv.org/abs/1706.05587)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.errors import ConfigError

from .conv import Conv2d
from .depthwise_separable_conv import DepthwiseSeparableConv2d


class ASPP(nn.Module):
    """A 1x1 convolution, dilated 3x3 convolutions and pooled features side by side, projected.

    (N, in_channels, H, W) -> (N, out_channels, H, W). Parameters are named as in Detectron2.

    Args:
        dilations: of the 3x3 convolutions.
        norm: see `get_norm`.
        dropout: probability of an element of the output to be dropped in training.
        pool_size: (h, w) of a window in whose averages the image is summed up; where the map is
            smaller, and for None, the window is the whole map.
        pool_norm: norm of the pooled branch; with batch norm, and one window for the map, training
            takes two images in a process.
        depthwise: the 3x3 convolutions are depthwise separable.

    Raises:
        ConfigError: in training, batch norm behind the pooling has one value per channel only.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dilations: Sequence[int],
        *,
        norm: str = "BN",
        dropout: float = 0.0,
        pool_size: tuple[int, int] | None = None,
        pool_norm: str = "",
        depthwise: bool = False,
    ):
        super().__init__()
        conv3x3 = DepthwiseSeparableConv2d if depthwise else Conv2d
        options: dict[str, Any] = {"norm": norm, "activation": F.relu_}
        self.convs = nn.ModuleList([Conv2d(in_channels, out_channels, 1, **options)])
        for dilation in dilations:
            self.convs.append(conv3x3(in_channels, out_channels, 3, dilation=dilation, **options))
        pooled = Conv2d(in_channels, out_channels, 1, norm=pool_norm, activation=F.relu_)
        self.convs.append(nn.Sequential(_Pool(pool_size, pool_norm), pooled))
        self.project = Conv2d(len(self.convs) * out_channels, out_channels, 1, **options)
        self.out_channels = out_channels
        self.dilations = list(dilations)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branches = [conv(x) for conv in self.convs]
        branches[-1] = F.interpolate(
            branches[-1], x.shape[-2:], mode="bilinear", align_corners=False
        )
        return self.dropout(self.project(torch.cat(branches, dim=1)))


class _Pool(nn.Module):
    """Averages of windows of `size` at stride 1, or of the whole map."""

    def __init__(self, size: tuple[int, int] | None, norm: str):
        super().__init__()
        self.size = size
        self.needs_two_values = norm == "BN"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.size is None:
            x = F.adaptive_avg_pool2d(x, 1)
        else:
            h, w = (min(a, b) for a, b in zip(self.size, x.shape[-2:], strict=True))
            x = F.avg_pool2d(x, (h, w), stride=1)
        if self.training and self.needs_two_values and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            raise ConfigError(
                "batch norm behind the image pooling of ASPP needs more than one image in a "
                "process to train: raise SOLVER.IMS_PER_BATCH, or set "
                "MODEL.SEM_SEG_HEAD.ASPP_POOL_NORM to '' or 'GN'"
            )
        return x
