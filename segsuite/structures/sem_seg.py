"""`SemSegLogits`: a semantic prediction that is only made large where somebody asks for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from segsuite.ops import argmax_from_logits


@dataclass
class SemSegLogits:
    """Class scores of one image at the resolution of the head.

    Output pixel y lies at ``(y + 0.5) * source_h / H - 0.5`` in rows of `logits`, likewise for x:
    bilinear interpolation with pixel centres at one half (``align_corners=False``).

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
        x = self.logits.float()
        for dim in (1, 2):
            x = _resample(x, dim, self.size[dim - 1], self.source_size[dim - 1])
        return x

    def labels(self) -> torch.Tensor:
        """The class of the largest logit at each pixel, without the full-size logits in memory.

        Returns:
            (H, W) uint8 where K <= 255 and else int16, in [0, K); K where the logits are NaN.
        """
        return argmax_from_logits(self.logits[None], self.size, self.source_size)[0]


def _resample(x: torch.Tensor, dim: int, size: int, source_size: float) -> torch.Tensor:
    """Linear interpolation of the leading `source_size` elements of `dim` to `size` elements."""
    last = x.shape[dim] - 1
    centres = torch.arange(size, device=x.device, dtype=torch.float64) + 0.5
    position = (centres * (source_size / size) - 0.5).clamp(0, last)
    low = position.floor().long()
    weight = (position - low).to(x.dtype).view(-1, *[1] * (x.dim() - 1 - dim))
    high = (low + 1).clamp(max=last)
    return torch.lerp(x.index_select(dim, low), x.index_select(dim, high), weight)
