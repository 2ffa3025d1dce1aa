"""The heads of DeepLabV3 (https://arxiv.org/abs/1706.05587) and V3+ (1802.02611)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import ASPP, Conv2d, DepthwiseSeparableConv2d, ShapeSpec

from ..checks import check_all_positive, check_positive, check_probability
from .build import SEM_SEG_HEADS_REGISTRY
from .head import SemSegHead


@SEM_SEG_HEADS_REGISTRY.register()
class DeepLabV3Head(SemSegHead):
    """ASPP and a 1x1 convolution to the classes, on one feature.

    Logits have the feature's stride: 8 or 16 with a backbone dilated accordingly. Parameters are
    named as in Detectron2.

    Args:
        num_convs, convs_dim: 3x3 convolutions between ASPP and classes, 0 as in Detectron2 or 1 as
            in torchvision, and their channels.
        norm: see `get_norm`.
        aspp: the options of ASPP, see `build_aspp`.

    Raises:
        ConfigError: not exactly one feature, or a size of crops that its stride does not divide.
    """

    reads_one_feature = True
    class_layers = ("predictor",)

    @configurable
    def __init__(
        self,
        *,
        num_convs: int = 0,
        convs_dim: int = 128,
        norm: str = "GN",
        aspp: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_positive("MODEL.SEM_SEG_HEAD.NUM_CONVS", num_convs, or_zero=True)
        check_positive("MODEL.SEM_SEG_HEAD.CONVS_DIM", convs_dim)
        (shape,) = self.in_shapes
        self.stride = shape.stride
        self.aspp = build_aspp(shape, norm=norm, **(aspp or {}))
        self.hidden_settings["MODEL.SEM_SEG_HEAD.ASPP_DILATIONS"] = self.aspp.dilations
        channels, convs = self.aspp.out_channels, []
        for _ in range(num_convs):
            convs.append(Conv2d(channels, convs_dim, 3, norm=norm, activation=F.relu_))
            channels = convs_dim
        self.convs = nn.Sequential(*convs)
        # Not Detectron2's weights of 0.001: from there a short training never tells classes apart.
        self.predictor = nn.Conv2d(channels, self.num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "aspp": _aspp_options(cfg),
            "num_convs": c.NUM_CONVS,
            "convs_dim": c.CONVS_DIM,
            "norm": c.NORM,
        }

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.predictor(self.convs(self.aspp(features[self.in_features[0]])))


@SEM_SEG_HEADS_REGISTRY.register()
class DeepLabV3PlusHead(SemSegHead):
    """ASPP on the coarsest feature, joined on the way up by finer ones that are projected first.

    Logits have the finest feature's stride. Parameters are named as in Detectron2, where this
    decoder reads any number of features.

    Args:
        project_features, project_channels: the finer features, fine to coarse, and the channels
            that each is reduced to.
        convs_dim: channels of the decoder.
        norm: see `get_norm`.
        depthwise: one depthwise separable 5x5 convolution joins a feature, instead of two of 3x3,
            and those of ASPP are depthwise separable.
        aspp: the other options of ASPP, see `build_aspp`.

    Raises:
        ConfigError: `project_features` are not `in_features` without the coarsest, or do not have
            one number of channels each; or a size of crops that the stride does not divide.
    """

    class_layers = ("predictor",)

    @configurable
    def __init__(
        self,
        *,
        project_features: Sequence[str] = ("res2",),
        project_channels: Sequence[int] = (48,),
        convs_dim: int = 128,
        norm: str = "GN",
        depthwise: bool = False,
        aspp: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        shapes = dict(zip(self.in_features, self.in_shapes, strict=True))
        *finer, coarsest = self.in_features
        check_positive("MODEL.SEM_SEG_HEAD.CONVS_DIM", convs_dim)
        if list(project_features) != finer or len(project_channels) != len(finer) or not finer:
            raise ConfigError(
                f"DeepLabV3PlusHead reads IN_FEATURES {self.in_features} and projects each but the "
                f"coarsest, fine to coarse; PROJECT_FEATURES is {list(project_features)} and "
                f"PROJECT_CHANNELS {list(project_channels)}"
            )
        self.stride = self.in_shapes[0].stride
        check_all_positive("MODEL.SEM_SEG_HEAD.PROJECT_CHANNELS", project_channels)
        options = {"norm": norm, "depthwise": depthwise, **(aspp or {})}
        aspp_module = build_aspp(shapes[coarsest], **options)
        self.hidden_settings["MODEL.SEM_SEG_HEAD.ASPP_DILATIONS"] = aspp_module.dilations
        self.decoder = nn.ModuleDict({coarsest: nn.ModuleDict({"project_conv": aspp_module})})
        channels = aspp_module.out_channels
        for name, projected in zip(finer[::-1], project_channels[::-1], strict=True):
            project = Conv2d(shapes[name].channels, projected, 1, norm=norm, activation=F.relu_)
            fuse = _fuse(projected + channels, convs_dim, norm, depthwise)
            self.decoder[name] = nn.ModuleDict({"project_conv": project, "fuse_conv": fuse})
            channels = convs_dim
        # Not Detectron2's weights of 0.001: from there a short training never tells classes apart.
        self.predictor = nn.Conv2d(channels, self.num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        c = cfg.MODEL.SEM_SEG_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "aspp": _aspp_options(cfg),
            "project_features": c.PROJECT_FEATURES,
            "project_channels": c.PROJECT_CHANNELS,
            "convs_dim": c.CONVS_DIM,
            "norm": c.NORM,
            "depthwise": c.USE_DEPTHWISE_SEPARABLE_CONV,
        }

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        *finer, coarsest = self.in_features
        y = self._level(coarsest)["project_conv"](features[coarsest])
        for name in reversed(finer):
            level = self._level(name)
            x = level["project_conv"](features[name])
            y = F.interpolate(y, x.shape[-2:], mode="bilinear", align_corners=False)
            y = level["fuse_conv"](torch.cat([x, y], dim=1))
        return self.predictor(y)

    def _level(self, name: str) -> nn.ModuleDict:
        return cast(nn.ModuleDict, self.decoder[name])


def build_aspp(
    shape: ShapeSpec,
    *,
    channels: int = 256,
    dilations: Sequence[int] = (6, 12, 18),
    dropout: float = 0.1,
    norm: str = "GN",
    pool_norm: str = "",
    train_size: Sequence[int] | None = None,
    depthwise: bool = False,
) -> ASPP:
    """ASPP on a feature, as both heads have it.

    Args:
        shape: of the feature.
        channels: of every branch and of the output.
        dilations: of the 3x3 convolutions; those here are for stride 16, the paper doubles them
            for 8.
        dropout, norm, pool_norm, depthwise: see `ASPP`.
        train_size: (H, W) of the training crops: averages are those of windows of that size. None:
            of the whole image.

    Raises:
        ConfigError: the feature's stride does not divide `train_size`, or a number is impossible.
    """
    check_positive("MODEL.SEM_SEG_HEAD.ASPP_CHANNELS", channels)
    check_all_positive("MODEL.SEM_SEG_HEAD.ASPP_DILATIONS", dilations)
    check_probability("MODEL.SEM_SEG_HEAD.ASPP_DROPOUT", dropout)
    pool_size = None
    if train_size is not None:
        if any(size % shape.stride for size in train_size):
            raise ConfigError(
                f"INPUT.CROP.SIZE is {list(train_size)}, but ASPP averages windows of that size on "
                f"a feature of stride {shape.stride}: make it multiples of that, or set "
                "MODEL.SEM_SEG_HEAD.ASPP_POOL_TRAIN_CROP to False to average the whole image"
            )
        height, width = (size // shape.stride for size in train_size)
        pool_size = (height, width)
    return ASPP(
        shape.channels,
        channels,
        dilations,
        norm=norm,
        dropout=dropout,
        pool_size=pool_size,
        pool_norm=pool_norm,
        depthwise=depthwise,
    )


def _aspp_options(cfg: CfgNode) -> dict[str, Any]:
    c = cfg.MODEL.SEM_SEG_HEAD
    options = {
        "channels": c.ASPP_CHANNELS,
        "dilations": c.ASPP_DILATIONS,
        "dropout": c.ASPP_DROPOUT,
        "pool_norm": c.ASPP_POOL_NORM,
        "train_size": _train_size(cfg),
        "depthwise": c.USE_DEPTHWISE_SEPARABLE_CONV,
    }
    return {name: value for name, value in options.items() if value is not None}


def _train_size(cfg: CfgNode) -> Sequence[int] | None:
    if not (cfg.MODEL.SEM_SEG_HEAD.ASPP_POOL_TRAIN_CROP and cfg.INPUT.CROP.ENABLED):
        return None
    if cfg.INPUT.CROP.TYPE != "absolute":
        raise ConfigError(
            f"INPUT.CROP.TYPE is '{cfg.INPUT.CROP.TYPE}', but ASPP averages windows of the size of "
            "the training crops: make it 'absolute', or set "
            "MODEL.SEM_SEG_HEAD.ASPP_POOL_TRAIN_CROP to False to average the whole image"
        )
    return cfg.INPUT.CROP.SIZE


def _fuse(in_channels: int, out_channels: int, norm: str, depthwise: bool) -> nn.Module:
    options: dict[str, Any] = {"norm": norm, "activation": F.relu_}
    if depthwise:
        return DepthwiseSeparableConv2d(in_channels, out_channels, 5, **options)
    return nn.Sequential(
        Conv2d(in_channels, out_channels, 3, **options),
        Conv2d(out_channels, out_channels, 3, **options),
    )
