"""From the pooled features of a box to one vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import Conv2d
from segsuite.utils.registry import Registry

# Callables (cfg, in_channels, resolution) -> nn.Module, see `FastRCNNConvFCHead`.
ROI_BOX_HEAD_REGISTRY = Registry("ROI_BOX_HEAD")


def build_box_head(cfg: CfgNode, in_channels: int, resolution: int) -> nn.Module:
    """Build ``MODEL.ROI_BOX_HEAD.NAME`` for (R, in_channels, resolution, resolution) features.

    Raises:
        UnknownNameError: no head has that name.
    """
    return ROI_BOX_HEAD_REGISTRY.get(cfg.MODEL.ROI_BOX_HEAD.NAME)(cfg, in_channels, resolution)


@ROI_BOX_HEAD_REGISTRY.register()
class FastRCNNConvFCHead(nn.Module):
    """3x3 convolutions, then fully connected layers. Parameters are named as in Detectron2.

    Args:
        in_channels, resolution: of the pooled features, (R, in_channels, resolution, resolution).
        conv_dims, fc_dims: widths of the layers.
        conv_norm: see `get_norm`.

    Attributes:
        output_size: length of the vectors that it returns.
        class_layers: none of its layers has rows for classes, see `SemSegHead`.

    Raises:
        ConfigError: there is no layer.
    """

    class_layers: Sequence[str] = ()

    @configurable
    def __init__(
        self,
        *,
        in_channels: int,
        resolution: int,
        conv_dims: Sequence[int] = (),
        fc_dims: Sequence[int] = (1024, 1024),
        conv_norm: str = "",
    ):
        super().__init__()
        if not conv_dims and not fc_dims:
            raise ConfigError(
                "a box head needs a layer: MODEL.ROI_BOX_HEAD.NUM_CONV and NUM_FC are both 0"
            )
        self.convs: list[nn.Module] = []
        channels = in_channels
        for i, dim in enumerate(conv_dims, 1):
            conv = Conv2d(channels, dim, 3, norm=conv_norm, activation=F.relu_)
            self.add_module(f"conv{i}", conv)
            self.convs.append(conv)
            channels = dim
        self.fcs: list[nn.Module] = []
        self.output_size = channels * resolution**2
        for i, dim in enumerate(fc_dims, 1):
            fc = nn.Linear(self.output_size, dim)
            nn.init.kaiming_uniform_(fc.weight, a=1)
            nn.init.zeros_(fc.bias)
            self.add_module(f"fc{i}", fc)
            self.fcs.append(fc)
            self.output_size = dim

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int, resolution: int) -> dict:
        c = cfg.MODEL.ROI_BOX_HEAD
        return {
            "in_channels": in_channels,
            "resolution": resolution,
            "conv_dims": [c.CONV_DIM] * c.NUM_CONV,
            "fc_dims": [c.FC_DIM] * c.NUM_FC,
            "conv_norm": c.NORM,
        }

    def forward(self, x: Tensor) -> Tensor:
        """(R, in_channels, resolution, resolution) -> (R, output_size)."""
        for conv in self.convs:
            x = conv(x)
        x = x.flatten(1)
        for fc in self.fcs:
            x = F.relu_(fc(x))
        return x
