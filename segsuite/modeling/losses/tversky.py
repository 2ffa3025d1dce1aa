"""Tversky loss (Salehi et al. 2017, https://arxiv.org/abs/1706.05721)."""

from __future__ import annotations

import torch

from segsuite.errors import ConfigError

from .build import SEM_SEG_LOSS_REGISTRY
from .overlap import mean_over_present, overlap_sums


@SEM_SEG_LOSS_REGISTRY.register()
def tversky(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    ignore_index: int = 255,
    tversky_alpha: float = 0.3,
    tversky_beta: float = 0.7,
) -> torch.Tensor:
    """``1 - TP / (TP + alpha FP + beta FN)`` of soft counts, averaged over classes.

    TP, FP and FN are ``|P T|``, ``|P (1 - T)|`` and ``|(1 - P) T|`` of probabilities P and target
    T. With alpha = beta = 0.5 it is the Dice loss; a larger beta misses less. The sums run
    over all pixels of the batch that are not ignored, of all processes; the mean over the classes
    that occur among their targets.

    Args:
        logits: (N, K, H, W) float32; K = 1 for a sigmoid, whose one class is label 1.
        targets: (N, H, W) int64 in [0, K) or `ignore_index`; 0 or 1 where K = 1.
        tversky_alpha, tversky_beta: weights of what is wrongly predicted and of what is missed.

    Raises:
        ConfigError: a weight is negative, or both are 0.
    """
    if min(tversky_alpha, tversky_beta) < 0 or tversky_alpha + tversky_beta == 0:
        raise ConfigError(
            f"MODEL.SEM_SEG_HEAD.LOSS.TVERSKY_ALPHA is {tversky_alpha} and TVERSKY_BETA "
            f"{tversky_beta}; expected two weights >= 0, not both 0, such as 0.3 and 0.7"
        )
    common, predicted, true = overlap_sums(logits, targets, ignore_index)
    wrong = tversky_alpha * (predicted - common) + tversky_beta * (true - common)
    return mean_over_present(1 - common / (common + wrong).clamp(min=1e-6), true)
