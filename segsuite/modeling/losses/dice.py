"""Soft Dice loss (Milletari et al. 2016, https://arxiv.org/abs/1606.04797)."""

from __future__ import annotations

import torch

from segsuite.layers import differentiable_all_reduce_sum

from .build import SEM_SEG_LOSS_REGISTRY


@SEM_SEG_LOSS_REGISTRY.register()
def dice(logits: torch.Tensor, targets: torch.Tensor, *, ignore_index: int = 255) -> torch.Tensor:
    """``1 - 2 |P T| / (|P| + |T|)`` of softmax probabilities P and target T, averaged over classes.

    The sums run over all pixels of the batch that are not ignored, of all processes; the mean over
    the classes that occur among their targets.

    Args:
        logits: (N, K, H, W) float32.
        targets: (N, H, W) int64 in [0, K) or `ignore_index`.
    """
    num_classes = logits.shape[1]
    valid = (targets != ignore_index).unsqueeze(1)
    classes = torch.arange(num_classes, device=targets.device).view(-1, 1, 1)
    truth = (targets.unsqueeze(1) == classes) & valid
    probabilities = logits.softmax(dim=1) * valid
    pixels = (0, 2, 3)
    sums = torch.stack(
        [(probabilities * truth).sum(pixels), probabilities.sum(pixels), truth.sum(pixels)]
    )
    common, predicted, true = differentiable_all_reduce_sum(sums)
    present = true > 0
    loss = (1 - 2 * common / (predicted + true).clamp(min=1e-6)) * present
    return loss.sum() / present.sum().clamp(min=1)
