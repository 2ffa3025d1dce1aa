"""Weights of models for colours in models for other images."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import torch

logger = logging.getLogger(__name__)

_COLORS = 3


def adapt_input_channels(
    weights: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], origin: str
) -> dict[str, torch.Tensor]:
    """Weights in which the convolutions that read colours read as many channels as the model's.

    As timm does it: of a single channel the filters of the three are summed, as if the grey image
    were given to each; for others they are repeated in turn and scaled by 3 / channels, so that the
    sums stay as large as they were.

    Args:
        weights: of a file, by the model's names.
        own: of the model.
        origin: what named the file, for the log.
    """
    adapted = dict(weights)
    for name in weights.keys() & own.keys():
        if name.partition(".")[0].endswith(("head", "heads")):
            continue  # three channels of a head are classes, or happen to be three
        theirs, ours = weights[name].shape, own[name].shape
        if len(theirs) != 4 or len(ours) != 4 or theirs[1] != _COLORS or ours[1] == _COLORS:
            continue
        if theirs[0] == ours[0] and theirs[2:] == ours[2:]:
            adapted[name] = _adapted(weights[name], ours[1])
            logger.info(
                "%s: %s of the file reads 3 channels, the model has %d: its filters are %s",
                *(origin, name, ours[1]),
                "summed" if ours[1] == 1 else f"repeated and scaled by 3 / {ours[1]}",
            )
    return adapted


def _adapted(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """(O, 3, h, w) -> (O, channels, h, w)."""
    filters = weight.float()
    if channels == 1:
        filters = filters.sum(1, keepdim=True)
    else:
        times = math.ceil(channels / _COLORS)
        filters = filters.repeat(1, times, 1, 1)[:, :channels] * (_COLORS / channels)
    return filters.to(weight.dtype)
