"""`SemSegLogits`: a semantic prediction that is only made large where somebody asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from segsuite.ops import argmax_from_logits
from segsuite.ops.bilinear import half_pixel_positions, neighbours

# Rows of pixels brought to full size at a time where only a map of them is wanted.
_ROWS = 64


@dataclass
class SemSegLogits:
    """Class scores of one image at the resolution of the head.

    Output row y lies at ``(y + 0.5) * source_h / H - 0.5`` in rows of `logits`, columns likewise:
    bilinear interpolation with pixel centres at one half, see `segsuite.ops.bilinear`.

    Attributes:
        logits: (K, h, w), of the padded image.
        source_size: (source_h, source_w) <= (h, w), the part of `logits` that the image covers
            without its padding; fractional.
        size: (H, W), the pixels of the prediction.
    """

    logits: torch.Tensor
    source_size: tuple[float, float]
    size: tuple[int, int]

    def full(self) -> torch.Tensor:
        """The logits at full size: (K, H, W) float32."""
        height, width = (torch.arange(n, device=self.logits.device) for n in self.size)
        return self.grid(height, width)

    def grid(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """The logits where some pixel rows and columns of the full size cross.

        Args:
            rows, columns: (R,) and (C,) integer pixel coordinates.

        Returns:
            (K, R, C) float32.
        """
        x = self.logits.float()
        for dim, pixels in ((1, rows), (2, columns)):
            x = _resample(x, dim, pixels, self.source_size[dim - 1] / self.size[dim - 1])
        return x

    def labels(self) -> torch.Tensor:
        """The class of the largest logit at each pixel, without the full-size logits in memory.

        Returns:
            (H, W) uint8 where K <= 255 and else int16, in [0, K); K where the logits are NaN.
        """
        return argmax_from_logits(self.logits[None], self.size, self.source_size)[0]

    def confidence(self) -> torch.Tensor:
        """The softmax probability of `labels` at each pixel: (H, W) float32 in [1 / K, 1]."""
        return self._pixelwise(lambda logits: logits.softmax(0).amax(0))

    def entropy(self) -> torch.Tensor:
        """The entropy of the softmax probabilities at each pixel, as a share of its largest value.

        Returns:
            (H, W) float32 in [0, 1]: 0 where one class is certain, 1 where all are equally likely.
        """
        nats = self._pixelwise(lambda logits: torch.special.entr(logits.softmax(0)).sum(0))
        return nats / math.log(max(len(self.logits), 2))

    def _pixelwise(self, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """`function` of the full-size logits (K, R, W), a few rows at a time: (H, W)."""
        height, width = (torch.arange(n, device=self.logits.device) for n in self.size)
        return torch.cat([function(self.grid(rows, width)) for rows in height.split(_ROWS)])


def as_sem_seg(prediction: SemSegLogits | torch.Tensor) -> SemSegLogits | torch.Tensor:
    """What a model gives as ``sem_seg``: logits, or labels (H, W) of an integer type.

    Args:
        prediction: `SemSegLogits`, labels, or as Detectron2's models have it, logits (K, H, W) of a
            floating point type at the size of the image.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(prediction, SemSegLogits):
        return prediction
    if prediction.dim() == 3 and prediction.is_floating_point():
        height, width = prediction.shape[1:]
        return SemSegLogits(prediction.float(), (height, width), (height, width))
    if prediction.dim() == 2 and not prediction.is_floating_point():
        return prediction
    raise ValueError(
        f"the prediction is {tuple(prediction.shape)} {prediction.dtype}; expected SemSegLogits, "
        "logits (K, H, W) of a floating point type, or labels (H, W) of an integer type"
    )


def sem_seg_labels(prediction: SemSegLogits | torch.Tensor) -> torch.Tensor:
    """The label map (H, W) of what `as_sem_seg` takes."""
    prediction = as_sem_seg(prediction)
    return prediction.labels() if isinstance(prediction, SemSegLogits) else prediction


def _resample(x: torch.Tensor, dim: int, pixels: torch.Tensor, scale: float) -> torch.Tensor:
    """Linear interpolation along `dim` at output `pixels`, each `scale` elements of `x` wide."""
    low, high, weight = neighbours(half_pixel_positions(pixels.double(), scale), x.shape[dim])
    weight = weight.to(x.dtype).view(-1, *[1] * (x.dim() - 1 - dim))
    return torch.lerp(x.index_select(dim, low), x.index_select(dim, high), weight)
