"""The convolutions of the region proposal network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import Conv2d, ShapeSpec
from segsuite.utils.registry import Registry

from ..anchor_generator import build_anchor_generator

# Callables (cfg, input_shape: list[ShapeSpec]) -> nn.Module, see `StandardRPNHead`.
RPN_HEAD_REGISTRY = Registry("RPN_HEAD")


def build_rpn_head(cfg: CfgNode, input_shape: Sequence[ShapeSpec]) -> nn.Module:
    """Build ``MODEL.RPN.HEAD_NAME`` for features of `input_shape`.

    Raises:
        UnknownNameError: no head has that name.
    """
    return RPN_HEAD_REGISTRY.get(cfg.MODEL.RPN.HEAD_NAME)(cfg, input_shape)


@RPN_HEAD_REGISTRY.register()
class StandardRPNHead(nn.Module):
    """3x3 convolutions, then one 1x1 for the scores of the anchors and one for their offsets, the
    same for all levels (Ren et al., "Faster R-CNN"). Parameters are named as in Detectron2.

    Args:
        in_channels: of every feature.
        num_anchors: in a cell.
        conv_dims: channels of the hidden convolutions; -1: as many as go in.

    Raises:
        ConfigError: there is no hidden convolution.
    """

    @configurable
    def __init__(self, *, in_channels: int, num_anchors: int, conv_dims: Sequence[int] = (-1,)):
        super().__init__()
        if not conv_dims:
            raise ConfigError("MODEL.RPN.CONV_DIMS is empty; give widths, -1 for the same width")
        hidden: list[nn.Module] = []
        channels = in_channels
        for dim in conv_dims:
            out_channels = channels if dim == -1 else dim
            hidden.append(Conv2d(channels, out_channels, 3, activation=F.relu_))
            channels = out_channels
        named = OrderedDict((f"conv{i}", conv) for i, conv in enumerate(hidden))
        self.conv = hidden[0] if len(hidden) == 1 else nn.Sequential(named)
        self.objectness_logits = nn.Conv2d(channels, num_anchors, 1)
        self.anchor_deltas = nn.Conv2d(channels, num_anchors * 4, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Sequence[ShapeSpec]) -> dict:
        channels = {shape.channels for shape in input_shape}
        num_anchors = set(build_anchor_generator(cfg, input_shape).num_anchors)
        if len(channels) > 1 or len(num_anchors) > 1:
            raise ConfigError(
                f"the features of MODEL.RPN.IN_FEATURES have {sorted(channels)} channels and "
                f"{sorted(num_anchors)} anchors in a cell; one head serves all, so these must agree"
            )
        return {
            "in_channels": channels.pop(),
            "num_anchors": num_anchors.pop(),
            "conv_dims": cfg.MODEL.RPN.CONV_DIMS,
        }

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """For each feature (N, C, H, W): scores (N, A, H, W) and offsets (N, 4 * A, H, W)."""
        logits, deltas = [], []
        for x in features:
            x = self.conv(x)
            logits.append(self.objectness_logits(x))
            deltas.append(self.anchor_deltas(x))
        return logits, deltas
