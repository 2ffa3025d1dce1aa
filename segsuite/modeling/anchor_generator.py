"""Anchors: boxes of fixed shapes on the grids of the feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.layers import ShapeSpec
from segsuite.structures import Boxes
from segsuite.utils.registry import Registry

# Callables (cfg, input_shape: list[ShapeSpec]) -> nn.Module, see `DefaultAnchorGenerator`.
ANCHOR_GENERATOR_REGISTRY = Registry("ANCHOR_GENERATOR")


def build_anchor_generator(
    cfg: CfgNode, input_shape: Sequence[ShapeSpec]
) -> DefaultAnchorGenerator:
    """Build ``MODEL.ANCHOR_GENERATOR.NAME`` for features of `input_shape`.

    Raises:
        UnknownNameError: no generator has that name.
    """
    return ANCHOR_GENERATOR_REGISTRY.get(cfg.MODEL.ANCHOR_GENERATOR.NAME)(cfg, input_shape)


@ANCHOR_GENERATOR_REGISTRY.register()
class DefaultAnchorGenerator(nn.Module):
    """Every size in every aspect ratio in every cell (Ren et al., "Faster R-CNN").

    Args:
        sizes: square roots of the anchors' areas, in pixels of the image: a list for each feature,
            or one for all.
        aspect_ratios: height / width: a list for each feature, or one for all.
        strides: of the features.
        offset: where in its cell an anchor is centred, in strides: from 0 (the corner) to 1.

    Raises:
        ConfigError: the lists are neither one nor as many as there are features, or the offset is
            out of range.
    """

    @configurable
    def __init__(
        self,
        *,
        sizes: Sequence[Sequence[float]],
        aspect_ratios: Sequence[Sequence[float]],
        strides: Sequence[int],
        offset: float = 0.0,
    ):
        super().__init__()
        if not 0 <= offset < 1:
            raise ConfigError(f"MODEL.ANCHOR_GENERATOR.OFFSET is {offset}; it lies in [0, 1)")
        self.hidden_settings = {
            "MODEL.ANCHOR_GENERATOR.NAME": type(self).__name__,
            "MODEL.ANCHOR_GENERATOR.OFFSET": offset,
        }
        self.strides = list(strides)
        self.offset = offset
        sizes = _for_each_feature(sizes, len(strides), "SIZES")
        aspect_ratios = _for_each_feature(aspect_ratios, len(strides), "ASPECT_RATIOS")
        cells = [_cell_anchors(s, a) for s, a in zip(sizes, aspect_ratios, strict=True)]
        self.num_anchors = [len(cell) for cell in cells]
        for i, cell in enumerate(cells):
            self.register_buffer(f"cell_{i}", cell, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Sequence[ShapeSpec]) -> dict:
        return {
            "sizes": cfg.MODEL.ANCHOR_GENERATOR.SIZES,
            "aspect_ratios": cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS,
            "strides": [shape.stride for shape in input_shape],
            "offset": cfg.MODEL.ANCHOR_GENERATOR.OFFSET,
        }

    def forward(self, features: Sequence[Tensor]) -> list[Boxes]:
        """The anchors of each feature (N, C, H, W): H * W * A boxes in pixels of the image, row by
        row, cell by cell. They are the same for all images."""
        anchors = []
        for i, (feature, steps) in enumerate(zip(features, self._steps(features), strict=True)):
            cell = getattr(self, f"cell_{i}")
            height, width = feature.shape[-2:]
            y, x = (
                (torch.arange(n, device=cell.device, dtype=cell.dtype) + self.offset) * step
                for n, step in zip((height, width), steps, strict=True)
            )
            x, y = x.expand(height, width), y[:, None].expand(height, width)
            corners = torch.stack([x, y, x, y], dim=-1)
            anchors.append(Boxes((corners[:, :, None] + cell).view(-1, 4)))
        return anchors

    def _steps(self, features: Sequence[Tensor]) -> list[tuple[int, int]]:
        """How far apart the cells of each feature are, in pixels: (y, x)."""
        return [(stride, stride) for stride in self.strides]


@ANCHOR_GENERATOR_REGISTRY.register()
class TorchvisionAnchorGenerator(DefaultAnchorGenerator):
    """torchvision's anchors, for its weights: corners are rounded to whole pixels, and cells are as
    far apart as whole pixels of the padded image go into the feature: 59 instead of 64 where 7
    cells lie on 416 pixels."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for cell in self.buffers():
            cell.round_()

    def _steps(self, features: Sequence[Tensor]) -> list[tuple[int, int]]:
        # The finest feature divides the padded image.
        height, width = (n * self.strides[0] for n in features[0].shape[-2:])
        return [(height // f.shape[-2], width // f.shape[-1]) for f in features]


def _for_each_feature(values: Sequence, num_features: int, key: str) -> list[Sequence[float]]:
    if not isinstance(values[0], Sequence):
        values = [values]
    if len(values) == 1:
        values = list(values) * num_features
    if len(values) != num_features:
        raise ConfigError(
            f"MODEL.ANCHOR_GENERATOR.{key} has {len(values)} lists for {num_features} features; "
            "give one for each, or one for all"
        )
    return list(values)


def _cell_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> Tensor:
    """(len(sizes) * len(aspect_ratios), 4) boxes around the origin."""
    anchors = []
    for size in sizes:
        for ratio in aspect_ratios:
            width = (size**2 / ratio) ** 0.5
            height = ratio * width
            anchors.append([-width / 2, -height / 2, width / 2, height / 2])
    return torch.tensor(anchors)
