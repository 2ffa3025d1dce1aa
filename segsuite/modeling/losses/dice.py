"""Soft Dice loss (Milletari et al. 2016, https://arxiv.org/abs/1606.04797)."""

from __future__ import annotations

import torch

from .build import SEM_SEG_LOSS_REGISTRY
from .overlap import mean_over_present, overlap_sums


@SEM_SEG_LOSS_REGISTRY.register()
def dice(logits: torch.Tensor, targets: torch.Tensor, *, ignore_index: int = 255) -> torch.Tensor:
    """``1 - 2 |P T| / (|P| + |T|)`` of probabilities P and target T, averaged over classes.

    The sums run over all pixels of the batch that are not ignored, of all processes; the mean over
    the classes that occur among their targets.

    Args:
        logits: (N, K, H, W) float32; K = 1 for a sigmoid, whose one class is label 1.
        targets: (N, H, W) int64 in [0, K) or `ignore_index`; 0 or 1 where K = 1.
    """
    common, predicted, true = overlap_sums(logits, targets, ignore_index)
    return mean_over_present(1 - 2 * common / (predicted + true).clamp(min=1e-6), true)
