"""The float64 model that tests hold the labels of upsampled logits against."""

from __future__ import annotations

import torch
from torch import Tensor

NEAR_TIE = 1e-5


def upsample(logits: Tensor, size: tuple[int, int], source_size: tuple[float, float]) -> Tensor:
    """Bilinear interpolation (N, K, H, W) in float64, written as the weighted sum of corners."""
    (top, bottom, down), (left, right, across) = (
        _corners(logits.shape[dim], source_size[dim - 2], size[dim - 2]) for dim in (2, 3)
    )
    x = logits.double()
    down = down[:, None]
    rows = x[:, :, top] * (1 - down) + x[:, :, bottom] * down
    return rows[..., left] * (1 - across) + rows[..., right] * across


def _corners(source: int, used: float, size: int) -> tuple[Tensor, Tensor, Tensor]:
    position = (torch.arange(size, dtype=torch.float64) + 0.5) * (used / max(size, 1)) - 0.5
    position = position.clamp(0, source - 1)
    low = position.long()
    return low, (low + 1).clamp(max=source - 1), position - low


def assert_labels(
    labels: Tensor, logits: Tensor, size: tuple[int, int], source_size: tuple[float, float]
) -> None:
    """Equal to the model's argmax save where the two best classes are within 1e-5; K at NaNs."""
    full = upsample(logits.cpu(), size, source_size)
    labels = labels.cpu().long()
    num_classes = full.shape[1]
    has_nan = full.isnan().any(1)
    assert labels.shape == has_nan.shape
    assert (labels[has_nan] == num_classes).all()
    assert (labels[~has_nan] < num_classes).all()
    chosen = full.gather(1, labels.clamp(max=num_classes - 1)[:, None])[:, 0]
    loss = (full.amax(1) - chosen)[~has_nan]
    assert (loss <= NEAR_TIE).all(), f"a label is {loss.max()} below the largest logit"
