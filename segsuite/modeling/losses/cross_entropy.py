"""Cross entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from segsuite.structures import label_logits

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
        logits: (N, K, H, W) float32; K = 1 for a sigmoid (binary cross entropy).
        targets: (N, H, W) int64 in [0, K) or `ignore_index`; 0 or 1 where K = 1.
        class_weights: (K,) float32; (2,) where K = 1.
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al. 2016).
    """
    total = weighted_cross_entropy(
        logits, targets, ignore_index, class_weights, label_smoothing, reduction="sum"
    )
    return total / num_valid(targets, ignore_index, class_weights)


def weighted_cross_entropy(
    logits: torch.Tensor,
    targets: torch.Tensor,
    ignore_index: int,
    class_weights: torch.Tensor | None,
    label_smoothing: float,
    *,
    reduction: str,
) -> torch.Tensor:
    """The weighted cross entropy of each pixel, (N, H, W), or its "sum"; 0 where it is ignored, or
    its class has the weight 0.

    Arguments as for `cross_entropy`. (PyTorch smooths the labels of a class without weight towards
    the others. Divided by the weights, of which there may be none, that has no bound.)
    """
    if class_weights is not None and label_smoothing:
        weights = class_weights[targets.where(targets != ignore_index, 0)]
        targets = targets.masked_fill(weights == 0, ignore_index)
    return F.cross_entropy(
        label_logits(logits, 1),
        targets,
        weight=class_weights,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )
