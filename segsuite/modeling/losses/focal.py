"""Focal loss (Lin et al. 2017, https://arxiv.org/abs/1708.02002)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from segsuite.structures import label_logits

from .build import SEM_SEG_LOSS_REGISTRY
from .normalizer import num_valid


@SEM_SEG_LOSS_REGISTRY.register()
def focal(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    ignore_index: int = 255,
    class_weights: torch.Tensor | None = None,
    focal_gamma: float = 2.0,
) -> torch.Tensor:
    """``-(1 - p)^gamma log p`` of the probability p of the target, averaged like the cross entropy
    that it is for gamma 0.

    Args:
        logits: (N, K, H, W) float32; K = 1 for a sigmoid.
        targets: (N, H, W) int64 in [0, K) or `ignore_index`; 0 or 1 where K = 1.
        class_weights: (K,) float32, the paper's alpha; where K = 1 (2,), 1 - alpha and alpha.
    """
    logits = label_logits(logits, 1)
    nll = F.cross_entropy(logits, targets, ignore_index=ignore_index, reduction="none")
    # 1 - p without cancellation, and off zero, where powers below 1 have no gradient.
    loss = (-torch.expm1(-nll)).clamp(min=1e-12) ** focal_gamma * nll
    if class_weights is not None:
        loss = loss * class_weights[targets.where(targets != ignore_index, 0)]
    return loss.sum() / num_valid(targets, ignore_index, class_weights)
