"""Cross entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .build import SEM_SEG_LOSS_REGISTRY
from .normalizer import num_valid


@SEM_SEG_LOSS_REGISTRY.register()
def cross_entropy(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    ignore_index: int = 255,
    class_weights: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross entropy, averaged over the pixels with the weights of their classes.

    Args:
        logits: (N, K, H, W) float32.
        targets: (N, H, W) int64 in [0, K) or `ignore_index`.
        class_weights: (K,) float32.
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al. 2016).
    """
    total = F.cross_entropy(
        logits,
        targets,
        weight=class_weights,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    return total / num_valid(targets, ignore_index, class_weights)
