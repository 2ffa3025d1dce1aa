"""What pixel-wise losses divide by."""

from __future__ import annotations

import torch

from segsuite.utils import comm


def num_valid(
    targets: torch.Tensor, ignore_index: int, class_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Number of pixels that are not ignored, each counted with the weight of its class.

    Args:
        targets: (N, H, W) int64.
        class_weights: (K,) float32.

    Returns:
        () float32, the mean over processes, at least a tiny positive number.
    """
    valid = targets != ignore_index
    if class_weights is None:
        count = valid.sum(dtype=torch.float32)
    else:
        count = (class_weights[targets.where(valid, 0)] * valid).sum()
    return comm.all_reduce_mean(count).clamp(min=1e-6)
