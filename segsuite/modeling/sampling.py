"""Balanced samples of foreground and background."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class LabelSample(NamedTuple):
    """What `sample_labels` draws of N images: S places each, foreground first, then background,
    then places that are left over.

    Attributes:
        indices: (N, S) int64, of the label that was drawn.
        foreground: (N, S) bool.
        valid: (N, S) bool: foreground or background.
    """

    indices: Tensor
    foreground: Tensor
    valid: Tensor


def sample_labels(
    labels: Tensor, num_samples: int, positive_fraction: float, bg_label: int
) -> LabelSample:
    """Draw `num_samples` of foreground and background of each image, the rest filled up with
    background, without waiting for the device.

    Args:
        labels: (N, K) integers; -1 is ignored, `bg_label` is background, all others foreground.
        num_samples: fewer are drawn where there are not enough.
        positive_fraction: the largest share of foreground in `num_samples`.
    """
    size = min(num_samples, labels.shape[1])
    most = min(int(num_samples * positive_fraction), size)
    background = labels == bg_label
    foreground = ~background & (labels != -1)
    # Those with the largest random numbers are drawn.
    keys = torch.rand(labels.shape, device=labels.device)
    of_foreground = keys.masked_fill(~foreground, -1).topk(most).indices
    of_background = keys.masked_fill(~background, -1).topk(size).indices
    num_foreground = foreground.sum(1, keepdim=True).clamp(max=most)
    num_valid = (num_foreground + background.sum(1, keepdim=True)).clamp(max=num_samples)
    place = torch.arange(size, device=labels.device)
    indices = torch.where(
        place < num_foreground,
        F.pad(of_foreground, (0, size - most)),
        of_background.gather(1, (place - num_foreground).clamp(min=0)),
    )
    return LabelSample(indices, place < num_foreground, place < num_valid)


def subsample_labels(
    labels: Tensor, num_samples: int, positive_fraction: float, bg_label: int
) -> tuple[Tensor, Tensor]:
    """`sample_labels` of one image.

    Args:
        labels: (K,) integers.

    Returns:
        Indices (P,) of foreground and (Q,) of background, int64.
    """
    sample = sample_labels(labels[None], num_samples, positive_fraction, bg_label)
    background = sample.valid & ~sample.foreground
    return sample.indices[sample.foreground], sample.indices[background]
