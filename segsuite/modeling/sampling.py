"""Balanced samples of foreground and background."""

from __future__ import annotations

import torch
from torch import Tensor


def subsample_labels(
    labels: Tensor, num_samples: int, positive_fraction: float, bg_label: int
) -> tuple[Tensor, Tensor]:
    """Draw `num_samples` of foreground and background, the rest filled up with background.

    Args:
        labels: (N,) integers; -1 is ignored, `bg_label` is background, all others foreground.
        num_samples: fewer are drawn where there are not enough.
        positive_fraction: the largest share of foreground in `num_samples`.

    Returns:
        Indices (P,) of foreground and (Q,) of background, int64.
    """
    positive = ((labels != -1) & (labels != bg_label)).nonzero()[:, 0]
    negative = (labels == bg_label).nonzero()[:, 0]
    num_positive = min(len(positive), int(num_samples * positive_fraction))
    num_negative = min(len(negative), num_samples - num_positive)
    return _draw(positive, num_positive), _draw(negative, num_negative)


def _draw(indices: Tensor, count: int) -> Tensor:
    return indices[torch.randperm(len(indices), device=indices.device)[:count]]
