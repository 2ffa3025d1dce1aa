"""Lovasz-softmax loss (Berman et al. 2018, https://arxiv.org/abs/1705.08790); of one class the
Lovasz hinge (Yu and Blaschko 2015, https://arxiv.org/abs/1512.07797)."""

from __future__ import annotations

import torch

from segsuite.utils import comm

from .build import SEM_SEG_LOSS_REGISTRY
from .gather import gather_uneven


@SEM_SEG_LOSS_REGISTRY.register()
def lovasz(logits: torch.Tensor, targets: torch.Tensor, *, ignore_index: int = 255) -> torch.Tensor:
    """A surrogate of ``1 - IoU`` on softmax probabilities, averaged over classes.

    The errors ``|T - P|`` of a class are sorted, largest first, and each is weighted by how much
    the Jaccard loss grows when its pixel becomes a mistake after all before it (the Lovasz
    extension, equation 9 of the paper). The pixels are those of the batch that are not ignored, of
    all processes; the mean is over the classes that occur among their targets.

    Of one class, K = 1, the errors are the hinges ``max(0, 1 - s z)`` of the logit z, where s is 1
    for label 1 and -1 for 0, as the paper has it for foreground and background.

    Args:
        logits: (N, K, H, W) float32; K = 1 for a sigmoid.
        targets: (N, H, W) int64 in [0, K) or `ignore_index`; 0 or 1 where K = 1.
    """
    valid = (targets != ignore_index).flatten()
    labels = targets.flatten()
    if logits.shape[1] == 1:
        truth = (labels == 1) & valid
        errors = (1 - (2.0 * truth - 1) * logits.flatten()).relu() * valid
        weights, _ = _jaccard_steps(errors.detach(), truth)
        # Where there is no label 1, the worst false positive counts.
        return comm.get_world_size() * (errors * weights).sum()
    probabilities = logits.softmax(dim=1).transpose(0, 1).flatten(1)
    total, classes = logits.sum() * 0, torch.zeros((), device=logits.device)
    for c, p in enumerate(probabilities):
        truth = (labels == c) & valid
        # Without an error an ignored pixel comes last and adds nothing, whatever its weight.
        errors = (truth.to(p.dtype) - p).abs() * valid
        weights, present = _jaccard_steps(errors.detach(), truth)
        total = total + (errors * weights).sum() * present
        classes = classes + present
    # The mean over processes of what each sums up is the sum over all pixels.
    return comm.get_world_size() * total / classes.clamp(min=1)


def _jaccard_steps(errors: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The growth of ``1 - IoU`` at each of this process's pixels, in the order of all errors.

    Args:
        errors: (P,) float.
        truth: (P,) bool.

    Returns:
        (P,) float, and () bool: whether any pixel of any process is true.
    """
    all_errors, counts = gather_uneven(errors)
    all_truth, _ = gather_uneven(truth)
    order = all_errors.argsort(descending=True, stable=True)
    found = all_truth[order].long().cumsum(0)
    others = torch.arange(1, len(order) + 1, device=found.device) - found
    true = found[-1]
    jaccard = 1 - (true - found).to(errors.dtype) / (true + others)
    steps = torch.empty_like(all_errors)
    steps[order] = jaccard.diff(prepend=jaccard.new_zeros(1))
    start = sum(counts[: comm.get_rank()])
    return steps[start : start + len(errors)], true > 0
