"""VGG (Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556), also fully convolutional."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import UnknownNameError
from segsuite.layers import ShapeSpec, get_norm
from segsuite.utils.registry import unknown_name

from .backbone import Backbone
from .build import BACKBONE_REGISTRY

_CONVS_PER_STAGE = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


class VGG(Backbone):
    """VGG-11/13/16/19, with or without batch norm.

    Features: "conv1" to "conv5" (strides 1, 2, 4, 8, 16), "pool1" to "pool5" (2, ..., 32), and
    "fc7" (32), the classifier's two fully connected layers turned into convolutions of 7x7 and 1x1
    pixels as in Long et al. 2015. Layers behind the last feature asked for are not built. The
    parameters of the features are named as in torchvision and timm. Pooling rounds odd sizes up,
    not down as there, so that features cover the whole image.

    Args:
        depth: 11, 13, 16 or 19.
        out_features: names of the features to return.
        norm: see `get_norm`; "" for the networks without.
        base_channels: of the first stage; the later ones have 2, 4, 8 and 8 times as many.
        fc_channels, fc_dropout: channels of "fc7", and the probability of an element of its two
            layers to be dropped in training.
        freeze_at: stages frozen from the input on: 0 none, 1 the convolutions of "conv1", ... 6 the
            layers of "fc7" too. See `freeze`.

    Raises:
        UnknownNameError: unknown depth or feature.
    """

    @configurable
    def __init__(
        self,
        *,
        depth: int = 16,
        in_channels: int = 3,
        out_features: Sequence[str] = ("conv5",),
        norm: str = "",
        base_channels: int = 64,
        fc_channels: int = 4096,
        fc_dropout: float = 0.5,
        freeze_at: int = 0,
    ):
        super().__init__()
        names = [name for i in range(1, 6) for name in (f"conv{i}", f"pool{i}")] + ["fc7"]
        names = self.choose_features(out_features, names)
        if depth not in _CONVS_PER_STAGE:
            raise UnknownNameError(unknown_name(depth, _CONVS_PER_STAGE, "depths of VGG"))
        self.features = nn.Sequential()
        self._ends: dict[str, int] = {}
        channels, stride = in_channels, 1
        for i, convs in enumerate(_CONVS_PER_STAGE[depth]):
            if f"conv{i + 1}" not in names:
                break
            for _ in range(convs):
                out_channels = base_channels * (1, 2, 4, 8, 8)[i]
                self.features.extend(_layers(channels, out_channels, norm))
                channels = out_channels
            self._end(f"conv{i + 1}", channels, stride)
            if f"pool{i + 1}" in names:
                self.features.append(nn.MaxPool2d(2, ceil_mode=True))
                stride *= 2
                self._end(f"pool{i + 1}", channels, stride)
        self.fc6: nn.Conv2d | None = None
        if "fc7" in names:
            self.fc6 = _conv(channels, fc_channels, 7)
            self.fc7 = _conv(fc_channels, fc_channels, 1)
            self.dropout = nn.Dropout(fc_dropout)
            self.add_feature("fc7", fc_channels, stride)
        self.freeze(freeze_at)

    def _end(self, name: str, channels: int, stride: int) -> None:
        self._ends[name] = len(self.features)
        self.add_feature(name, channels, stride)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        c = cfg.MODEL.VGG
        return {
            "depth": c.DEPTH,
            "in_channels": input_shape.channels,
            "out_features": c.OUT_FEATURES,
            "norm": c.NORM,
            "base_channels": c.BASE_CHANNELS,
            "fc_channels": c.FC_CHANNELS,
            "fc_dropout": c.FC_DROPOUT,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features, start = {}, 0
        for name, end in self._ends.items():
            for layer in self.features[start:end]:
                x = layer(x)
            features[name], start = x, end
        if self.fc6 is not None:
            x = self.dropout(F.relu_(self.fc6(x)))
            features["fc7"] = self.dropout(F.relu_(self.fc7(x)))
        return self.chosen(features)

    def stages(self) -> list[list[str]]:
        """The convolutions of "conv1", "conv2", ..., and the two layers of "fc7"."""
        ends = [end for name, end in self._ends.items() if name.startswith("conv")]
        stages = [
            [f"features.{i}" for i in range(start, end)]
            for start, end in itertools.pairwise([0, *ends])
        ]
        return stages if self.fc6 is None else [*stages, ["fc6", "fc7"]]

    def blocks(self) -> list[str]:
        """The two layers of "fc7", which have nine weights of ten."""
        return [] if self.fc6 is None else ["fc6", "fc7"]


def _layers(in_channels: int, out_channels: int, norm: str) -> list[nn.Module]:
    """A 3x3 convolution, which has a bias with a norm too, as published weights do."""
    layers: list[nn.Module] = [_conv(in_channels, out_channels, 3)]
    norm_layer = get_norm(norm, out_channels)
    if norm_layer is not None:
        layers.append(norm_layer)
    return [*layers, nn.ReLU(inplace=True)]


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


@BACKBONE_REGISTRY.register()
def build_vgg_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> VGG:
    """VGG from ``MODEL.VGG`` and ``MODEL.BACKBONE.FREEZE_AT``."""
    return VGG(cfg, input_shape)
