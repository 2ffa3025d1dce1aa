"""What losses on the overlap of regions are made of."""

from __future__ import annotations

import torch

from segsuite.layers import differentiable_all_reduce_sum


def overlap_sums(
    logits: torch.Tensor, targets: torch.Tensor, ignore_index: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``|P T|``, ``|P|`` and ``|T|`` of softmax probabilities P and target T, for each class.

    The sums run over all pixels of the batch that are not ignored, of all processes.

    Args:
        logits: (N, K, H, W) float32.
        targets: (N, H, W) int64 in [0, K) or `ignore_index`.

    Returns:
        Three times (K,) float32.
    """
    valid = (targets != ignore_index).unsqueeze(1)
    classes = torch.arange(logits.shape[1], device=targets.device).view(-1, 1, 1)
    truth = (targets.unsqueeze(1) == classes) & valid
    probabilities = logits.softmax(dim=1) * valid
    pixels = (0, 2, 3)
    sums = torch.stack(
        [(probabilities * truth).sum(pixels), probabilities.sum(pixels), truth.sum(pixels)]
    )
    common, predicted, true = differentiable_all_reduce_sum(sums)
    return common, predicted, true


def mean_over_present(losses: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """The mean of `losses` (K,) over the classes that have target pixels (`true` > 0)."""
    present = true > 0
    return (losses * present).sum() / present.sum().clamp(min=1)
