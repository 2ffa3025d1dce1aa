"""Random augmentations: each draws a deterministic `Transform` for the image at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError

from ..image import channel_order
from ..sem_seg import count_values
from .base import AUGMENTATION_REGISTRY, AugInput, Augmentation
from .color import ColorTransform
from .transform import (
    CropTransform,
    HFlipTransform,
    PadTransform,
    ResizeTransform,
    Size,
    Transform,
    VFlipTransform,
)


@AUGMENTATION_REGISTRY.register()
class ResizeShortestEdge(Augmentation):
    """Scale the short edge to a drawn length, or the long one to its limit if that is less.

    Args:
        short_edge_length: candidates; with ``sample_style="range"`` the two ends, inclusive.
            A drawn 0 leaves the image alone.
        max_size: limit of the long edge, in pixels.
        sample_style: "choice" or "range".
    """

    @configurable
    def __init__(
        self, short_edge_length: Sequence[int], max_size: int, sample_style: str = "choice"
    ) -> None:
        if sample_style not in ("choice", "range"):
            raise ConfigError(
                f"sampling '{sample_style}' (INPUT.MIN_SIZE_TRAIN_SAMPLING): "
                "expected 'choice' or 'range'"
            )
        if not short_edge_length or (sample_style == "range" and len(short_edge_length) != 2):
            raise ConfigError(
                f"short edges {tuple(short_edge_length)} (INPUT.MIN_SIZE_TRAIN): expected "
                "two values for sampling 'range', one or more for 'choice'"
            )
        broken = [e for e in short_edge_length if isinstance(e, bool) or e != int(e) or e < 0]
        if broken:
            raise ConfigError(
                f"short edges {tuple(short_edge_length)} (INPUT.MIN_SIZE_TRAIN): {broken[0]} is no "
                "whole number of pixels"
            )
        self.short_edge_length = tuple(int(e) for e in short_edge_length)
        self.max_size = max_size
        self.sample_style = sample_style

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        short = cfg.INPUT.MIN_SIZE_TRAIN
        return {
            "short_edge_length": (short,) if isinstance(short, int) else tuple(short),
            "max_size": cfg.INPUT.MAX_SIZE_TRAIN,
            "sample_style": cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING,
        }

    def get_transform(self, inputs: AugInput, rng: np.random.Generator) -> Transform:
        if self.sample_style == "range":
            low, high = self.short_edge_length
            short = int(rng.integers(low, high + 1))
        else:
            short = self.short_edge_length[int(rng.integers(len(self.short_edge_length)))]
        if short == 0:
            return Transform()
        return ResizeTransform(*inputs.size, *self.output_size(inputs.size, short, self.max_size))

    @staticmethod
    def output_size(size: Size, short: int, max_size: int) -> Size:
        """Height and width after the resize, rounded half up."""
        # The order of these operations, and so their rounding, is Detectron2's.
        scale = short / min(size)
        edges = [edge * scale for edge in size]
        if max(edges) > max_size:
            scale = max_size / max(edges)
            edges = [edge * scale for edge in edges]
        height, width = (max(int(edge + 0.5), 1) for edge in edges)
        return height, width


@AUGMENTATION_REGISTRY.register()
class RandomScale(Augmentation):
    """Scale both edges by a factor drawn uniformly from [low, high)."""

    @configurable
    def __init__(self, low: float, high: float) -> None:
        if not 0 < low <= high:
            raise ConfigError(f"INPUT.RANDOM_SCALE is ({low}, {high}): expected 0 < low <= high")
        self.low, self.high = low, high

    @classmethod
    def from_config(
        cls, cfg: CfgNode, low: float | None = None, high: float | None = None
    ) -> dict[str, Any]:
        if low is None or high is None:
            scale = cfg.INPUT.RANDOM_SCALE
            if len(scale) != 2:
                raise ConfigError(f"INPUT.RANDOM_SCALE is {scale}: expected (low, high)")
            low = scale[0] if low is None else low
            high = scale[1] if high is None else high
        return {"low": low, "high": high}

    def get_transform(self, inputs: AugInput, rng: np.random.Generator) -> Transform:
        scale = rng.uniform(self.low, self.high)
        new_size = [max(int(edge * scale + 0.5), 1) for edge in inputs.size]
        return ResizeTransform(*inputs.size, *new_size)


@AUGMENTATION_REGISTRY.register()
class RandomCrop(Augmentation):
    """Cut out a window at a random place.

    Args:
        crop_type: "absolute": `crop_size` pixels; "relative": that share of the image;
            "relative_range": a share drawn from [crop_size, 1]; "absolute_range": each edge
            drawn between the two values of `crop_size`, inclusive. Never more than the image.
        crop_size: (height, width), or the range.
        single_category_max_area: draw again, up to ten times, while one class holds more than
            this share of the labelled pixels, or the window has no other. 1.0: off.
        ignore_label: the label that does not count.
    """

    TYPES = ("absolute", "relative", "relative_range", "absolute_range")

    @configurable
    def __init__(
        self,
        crop_type: str,
        crop_size: Sequence[float],
        single_category_max_area: float = 1.0,
        ignore_label: int = 255,
    ) -> None:
        if crop_type not in self.TYPES:
            raise ConfigError(
                f"crop type '{crop_type}' (INPUT.CROP.TYPE): "
                f"expected one of {', '.join(self.TYPES)}"
            )
        is_share = crop_type.startswith("relative")
        low, high = min(crop_size, default=0), max(crop_size, default=0)
        if len(crop_size) != 2 or low <= 0 or (is_share and high > 1):
            raise ConfigError(
                f"crop size {tuple(crop_size)} (INPUT.CROP.SIZE) with type '{crop_type}': expected "
                + ("two shares in (0, 1]" if is_share else "two lengths in pixels, above 0")
            )
        self.crop_type = crop_type
        self.crop_size = tuple(crop_size)
        self.single_category_max_area = single_category_max_area
        self.ignore_label = ignore_label

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        crop = cfg.INPUT.CROP
        return {
            "crop_type": crop.TYPE,
            "crop_size": crop.SIZE,
            "single_category_max_area": crop.SINGLE_CATEGORY_MAX_AREA,
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
        }

    def get_transform(self, inputs: AugInput, rng: np.random.Generator) -> Transform:
        height, width = self._draw_size(inputs.size, rng)
        sem_seg = inputs.sem_seg if self.single_category_max_area < 1 else None
        for _ in range(10):
            y = int(rng.integers(inputs.size[0] - height + 1))
            x = int(rng.integers(inputs.size[1] - width + 1))
            crop = CropTransform(x, y, height, width)
            if sem_seg is None or self._is_mixed(crop.apply_segmentation(sem_seg)):
                break
        return crop

    def _draw_size(self, size: Size, rng: np.random.Generator) -> Size:
        wanted: Sequence[float]
        if self.crop_type == "absolute":
            wanted = self.crop_size
        elif self.crop_type == "absolute_range":
            low, high = sorted(map(int, self.crop_size))
            wanted = [int(rng.integers(min(e, low), min(e, high) + 1)) for e in size]
        else:
            share = np.array(self.crop_size, dtype=float)
            if self.crop_type == "relative_range":
                share += rng.random(2) * (1 - share)
            wanted = [max(int(e * s + 0.5), 1) for e, s in zip(size, share, strict=True)]
        return min(int(wanted[0]), size[0]), min(int(wanted[1]), size[1])

    def _is_mixed(self, sem_seg: np.ndarray) -> bool:
        labels, counts = count_values(sem_seg)
        counts = counts[labels != self.ignore_label]
        return len(counts) > 1 and counts.max() < counts.sum() * self.single_category_max_area


@AUGMENTATION_REGISTRY.register()
class PadToSize(Augmentation):
    """Pad, below and to the right, what is smaller than (height, width)."""

    @configurable
    def __init__(self, size: Size, *, color: Sequence[int], label: int) -> None:
        self.size, self.color, self.label = size, color, label

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        # The mean colour is 0 once the model has normalised it.
        color = [round(mean) for mean in cfg.MODEL.PIXEL_MEAN]
        if channel_order(cfg) == "BGR":
            color.reverse()
        height, width = cfg.INPUT.CROP.SIZE
        label = cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
        return {"size": (int(height), int(width)), "color": color, "label": label}

    def get_transform(self, inputs: AugInput, rng: np.random.Generator) -> Transform:
        bottom, right = (max(w - s, 0) for w, s in zip(self.size, inputs.size, strict=True))
        if not bottom and not right:
            return Transform()
        return PadTransform(bottom, right, color=self.color, label=self.label)


@AUGMENTATION_REGISTRY.register()
class RandomFlip(Augmentation):
    """Mirror "horizontal"ly or "vertical"ly with a probability."""

    @configurable
    def __init__(self, direction: str = "horizontal", prob: float = 0.5) -> None:
        if direction not in ("horizontal", "vertical"):
            raise ConfigError(
                f"flip '{direction}' (INPUT.RANDOM_FLIP): "
                "expected 'horizontal' or 'vertical'; 'none' is for the key alone"
            )
        self.direction, self.prob = direction, prob

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {"direction": cfg.INPUT.RANDOM_FLIP}

    def get_transform(self, inputs: AugInput, rng: np.random.Generator) -> Transform:
        if rng.random() >= self.prob:
            return Transform()
        height, width = inputs.size
        return HFlipTransform(width) if self.direction == "horizontal" else VFlipTransform(height)


@AUGMENTATION_REGISTRY.register()
class ColorJitter(Augmentation):
    """Change brightness, contrast and saturation by factors in 1 +- x, the hue by up to +- x.

    Grey has no saturation and hue, and keeps it so; other bands than these and colours have none
    that are known.

    Args:
        hue: in turns of the colour circle, 0 to 0.5.
    """

    @configurable
    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
    ) -> None:
        for name, value, high in (
            *(("BRIGHTNESS", brightness, 1), ("CONTRAST", contrast, 1)),
            *(("SATURATION", saturation, 1), ("HUE", hue, 0.5)),
        ):
            if not 0 <= value <= high:
                raise ConfigError(f"INPUT.COLOR_JITTER.{name} is {value}: expected 0 to {high}")
        self.amounts = (brightness, contrast, saturation, hue)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        jitter = cfg.INPUT.COLOR_JITTER
        channels = len(cfg.MODEL.PIXEL_MEAN)
        of_colors = [f"{key} {jitter[key]}" for key in ("SATURATION", "HUE") if jitter[key]]
        if of_colors and (channels not in (1, 3) or (cfg.INPUT.BANDS and channels == 3)):
            raise ConfigError(
                f"INPUT.COLOR_JITTER has {' and '.join(of_colors)}, but the model's {channels} "
                "channels need not be colours; set SATURATION and HUE to 0"
            )
        return {key.lower(): amount for key, amount in jitter.items()}

    def get_transform(self, inputs: AugInput, rng: np.random.Generator) -> Transform:
        b, c, s, h = rng.uniform(-1.0, 1.0, 4) * self.amounts
        return ColorTransform(brightness=1 + b, contrast=1 + c, saturation=1 + s, hue=h)
