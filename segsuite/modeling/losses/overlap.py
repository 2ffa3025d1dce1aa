"""What losses on the overlap of regions are made of."""

from __future__ import annotations

import torch

from segsuite.layers import differentiable_all_reduce_sum


def overlap_sums(
    logits: torch.Tensor, targets: torch.Tensor, ignore_index: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``|P T|``, ``|P|`` and ``|T|`` of probabilities P and target T, for each class.

    The sums run over all pixels of the batch that are not ignored, of all processes. Where K = 1
    the class is label 1, and its probability a sigmoid; background is no class of its own.

    Args:
        logits: (N, K, H, W) float32.
        targets: (N, H, W) int64 in [0, K) or `ignore_index`; 0 or 1 where K = 1.

    Returns:
        Three times (K,) float32.
    """
    valid = (targets != ignore_index).unsqueeze(1)
    num_classes = logits.shape[1]
    first = 1 if num_classes == 1 else 0
    classes = torch.arange(first, first + num_classes, device=targets.device).view(-1, 1, 1)
    truth = (targets.unsqueeze(1) == classes) & valid
    probabilities = (logits.sigmoid() if first else logits.softmax(dim=1)) * valid
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
