"""Lists of different lengths as tensors of one length."""

from __future__ import annotations

import torch
from torch import Tensor


def compacted(x: Tensor, kept: Tensor, slots: int) -> Tensor:
    """The entries that are kept in their order, and zeros behind them.

    Args:
        x: (N, L, ...).
        kept: (N, L) bool.
        slots: the length of the result; no more are kept.

    Returns:
        (N, slots, ...).
    """
    # What is not kept goes to one place more.
    place = torch.where(kept, kept.cumsum(1) - 1, slots)
    place = place.view(*place.shape, *(1,) * (x.dim() - 2)).expand_as(x)
    return x.new_zeros(x.shape[0], slots + 1, *x.shape[2:]).scatter(1, place, x)[:, :slots]
