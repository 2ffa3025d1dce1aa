"""Feature pyramid network (Lin et al., "Feature Pyramid Networks for Object Detection", 2017)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.layers import Conv2d, ShapeSpec
from segsuite.utils.registry import unknown_name

from .backbone import Backbone
from .build import BACKBONE_REGISTRY
from .resnet import build_resnet_backbone

_FUSE_SCALES = {"sum": 1.0, "avg": 0.5}


class LastLevelMaxPool(nn.Module):
    """One more level: every second pixel of the coarsest."""

    num_levels = 1

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [F.max_pool2d(x, kernel_size=1, stride=2)]


class FPN(Backbone):
    """Feature maps of one width at several strides, each with what the coarser ones know.

    The level of stride ``2 ** k`` is called "pk". Parameters are named as in Detectron2:
    ``fpn_lateral{k}``, ``fpn_output{k}``, and the network below is ``bottom_up``.

    Args:
        bottom_up: the network whose features are used.
        in_features: their names, fine to coarse, the stride doubling from each to the next.
        out_channels: width of every level.
        norm: of the convolutions, see `get_norm`.
        top_block: makes further levels out of the coarsest.
        fuse_type: "sum", or "avg" of a level and what comes from above.

    Raises:
        UnknownNameError: unknown feature or fuse type.
        ConfigError: the strides do not double.
    """

    @configurable
    def __init__(
        self,
        *,
        bottom_up: Backbone,
        in_features: Sequence[str],
        out_channels: int = 256,
        norm: str = "",
        top_block: LastLevelMaxPool | None = None,
        fuse_type: str = "sum",
    ):
        super().__init__()
        shapes = bottom_up.output_shape()
        for name in in_features:
            if name not in shapes:
                raise UnknownNameError(
                    unknown_name(name, shapes, "backbone's features (FPN.IN_FEATURES)")
                )
        if fuse_type not in _FUSE_SCALES:
            raise UnknownNameError(
                unknown_name(fuse_type, _FUSE_SCALES, "fuse types (FPN.FUSE_TYPE)")
            )
        strides = [shapes[name].stride for name in in_features]
        if any(b != 2 * a for a, b in itertools.pairwise(strides)):
            raise ConfigError(
                f"the strides of MODEL.FPN.IN_FEATURES {list(in_features)} are {strides}; "
                "each must be twice the one before"
            )
        self.bottom_up = bottom_up
        self.in_features = list(in_features)
        self.fuse_scale = _FUSE_SCALES[fuse_type]
        self.hidden_settings = {"MODEL.FPN.FUSE_TYPE": fuse_type}
        self.levels = [int(math.log2(stride)) for stride in strides]
        for name, level in zip(in_features, self.levels, strict=True):
            lateral = Conv2d(shapes[name].channels, out_channels, 1, norm=norm)
            output = Conv2d(out_channels, out_channels, 3, norm=norm)
            for conv in (lateral, output):
                # As Detectron2 and Caffe2 start them: uniform, gain 1.
                nn.init.kaiming_uniform_(conv.weight, a=1)
            self.add_module(f"fpn_lateral{level}", lateral)
            self.add_module(f"fpn_output{level}", output)
        self.top_block = top_block
        last = self.levels[-1] + (top_block.num_levels if top_block else 0)
        for level in range(self.levels[0], last + 1):
            self.add_feature(f"p{level}", out_channels, 2**level)
        self.size_divisibility = math.lcm(strides[-1], max(bottom_up.size_divisibility, 1))

    @classmethod
    def from_config(cls, cfg: CfgNode, bottom_up: Backbone) -> dict:
        return {
            "bottom_up": bottom_up,
            "in_features": cfg.MODEL.FPN.IN_FEATURES,
            "out_channels": cfg.MODEL.FPN.OUT_CHANNELS,
            "norm": cfg.MODEL.FPN.NORM,
            "fuse_type": cfg.MODEL.FPN.FUSE_TYPE,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.bottom_up(x)
        outputs: dict[str, torch.Tensor] = {}
        above = None
        for name, level in zip(reversed(self.in_features), reversed(self.levels), strict=True):
            lateral = getattr(self, f"fpn_lateral{level}")
            here = lateral(features[name], residual=above, upsample=above is not None)
            if above is not None and self.fuse_scale != 1.0:
                here = here * self.fuse_scale
            above = here
            outputs[f"p{level}"] = getattr(self, f"fpn_output{level}")(here)
        if self.top_block is not None:
            coarsest = self.levels[-1]
            more = self.top_block(outputs[f"p{coarsest}"])
            outputs.update({f"p{coarsest + 1 + i}": level for i, level in enumerate(more)})
        return self.chosen(outputs)

    @property
    def padding_constraints(self) -> Mapping[str, int]:
        return self.bottom_up.padding_constraints

    def stages(self) -> list[list[str]]:
        """Those of the network below; the pyramid itself is always trained."""
        return [[f"bottom_up.{name}" for name in stage] for stage in self.bottom_up.stages()]

    def freeze(self, stages: int) -> None:
        """Freeze the first stages of the network below, in its own way."""
        self.bottom_up.freeze(stages)


@BACKBONE_REGISTRY.register()
def build_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """The pyramid ``MODEL.FPN`` on a ResNet, with a last level for large anchors."""
    bottom_up = build_resnet_backbone(cfg, input_shape)
    return FPN(cfg, bottom_up, top_block=LastLevelMaxPool())


@BACKBONE_REGISTRY.register()
def build_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """The same on any backbone, ``MODEL.FPN.BOTTOM_UP``."""
    bottom_up = BACKBONE_REGISTRY.get(cfg.MODEL.FPN.BOTTOM_UP)(cfg, input_shape)
    return FPN(cfg, bottom_up, top_block=LastLevelMaxPool())
