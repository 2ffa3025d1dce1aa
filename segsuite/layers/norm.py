"""Normalisation layers by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from segsuite.errors import UnknownNameError
from segsuite.utils.registry import unknown_name

from .frozen_batch_norm import FrozenBatchNorm2d
from .layer_norm import LayerNorm2d
from .sync_batch_norm import SyncBatchNorm2d

_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "BN": nn.BatchNorm2d,
    "SyncBN": SyncBatchNorm2d,
    "FrozenBN": FrozenBatchNorm2d,
    "GN": lambda channels: _group_norm(channels),
    "LN": LayerNorm2d,
}


def get_norm(name: str, channels: int) -> nn.Module | None:
    """The norm layer called `name` for `channels` channels; None for "".

    "BN" normalises over the images of this process, "SyncBN" over those of all processes,
    "FrozenBN" by fixed statistics, "GN" within each image over groups of channels, "LN"
    within each pixel over all channels.

    Raises:
        UnknownNameError: unknown name.
    """
    if name == "":
        return None
    if name not in _NORMS:
        raise UnknownNameError(unknown_name(name, [*_NORMS, '""'], "norms"))
    return _NORMS[name](channels)


def _group_norm(channels: int) -> nn.GroupNorm:
    """32 groups as in Wu and He 2018; fewer where 32 does not divide a narrow layer's channels."""
    groups = 32
    while channels % groups:
        groups //= 2
    return nn.GroupNorm(groups, channels)
