"""Cross entropy of the hardest pixels."""

from __future__ import annotations

import torch

from segsuite.errors import ConfigError
from segsuite.utils import comm

from .build import SEM_SEG_LOSS_REGISTRY
from .cross_entropy import weighted_cross_entropy
from .gather import gather_uneven


@SEM_SEG_LOSS_REGISTRY.register()
def hard_pixel_mining(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    ignore_index: int = 255,
    class_weights: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
    top_k_percent_pixels: float = 0.2,
) -> torch.Tensor:
    """Mean cross entropy of the pixels where it is largest, as DeepLab is trained in Detectron2.

    Args:
        logits: (N, K, H, W) float32; K = 1 for a sigmoid.
        targets: (N, H, W) int64 in [0, K) or `ignore_index`; 0 or 1 where K = 1.
        class_weights: (K,) float32; (2,) where K = 1.
        top_k_percent_pixels: share in (0, 1] of the batch's pixels, over all processes, that count.
            Ignored pixels belong to the batch, with a loss of zero.

    Raises:
        ConfigError: the share is not in (0, 1].
    """
    if not 0 < top_k_percent_pixels <= 1:
        raise ConfigError(
            f"MODEL.SEM_SEG_HEAD.LOSS.TOP_K_PERCENT_PIXELS is {top_k_percent_pixels}; expected a "
            "share in (0, 1], such as 0.2"
        )
    losses = weighted_cross_entropy(
        logits, targets, ignore_index, class_weights, label_smoothing, reduction="none"
    ).flatten()
    candidates, _ = gather_uneven(losses)
    k = max(int(top_k_percent_pixels * candidates.numel()), 1)
    threshold = candidates.topk(k, sorted=False).values.min()
    # Losses equal to the threshold share the places that are left.
    above, tied = candidates > threshold, candidates == threshold
    share = (k - above.sum()) / tied.sum()
    weights = (losses > threshold).float() + (losses == threshold) * share
    return (losses * weights).sum() / (k / comm.get_world_size())
