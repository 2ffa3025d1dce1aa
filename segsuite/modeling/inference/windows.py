"""Where the windows along one axis of an image lie, and what each says about its pixels."""

from __future__ import annotations

import torch


def window_starts(length: int, window: int, overlap: float, alignment: int) -> list[int]:
    """First pixels of windows that cover ``[0, length)``; each ends at `window` pixels or the edge.

    All are multiples of `alignment`, so that a network's grids in a window are a part of those it
    has on the whole image, and the last window ends at the edge as the image does.

    Args:
        window: a multiple of `alignment`.
        overlap: share of a window that the next one covers at least, in [0, 1).
    """
    if length <= window:
        return [0]
    step = max(int(window * (1 - overlap)) // alignment * alignment, alignment)
    last = -(-(length - window) // alignment) * alignment
    return [*range(0, last, step), last]


def window_weights(starts: list[int], ends: list[int], overlap: int) -> list[torch.Tensor]:
    """Weights of the cells of overlapping windows, which sum to one at each cell.

    From an edge inside the image inwards, weights are 0 over a quarter of the overlap, where a
    window sees too little around a pixel, then rise linearly over half of it. The image's own edges
    are seen by every window that reaches them as by the whole image: no weights fall off there.

    Args:
        starts, ends: of each window, in cells, in order.
        overlap: the least number of cells that two neighbours share.

    Returns:
        (end - start,) float64 of each window.
    """
    total = torch.zeros(ends[-1], dtype=torch.float64)
    weights = []
    for start, end in zip(starts, ends, strict=True):
        weight = torch.ones(end - start, dtype=torch.float64)
        if overlap > 0:
            depth = torch.arange(end - start, dtype=torch.float64) + 0.5
            rise = (2 * (depth / overlap - 0.25)).clamp(0, 1)
            if start > 0:
                weight = weight * rise
            if end < ends[-1]:
                weight = weight * rise.flip(0)
        total[start:end] += weight
        weights.append(weight)
    return [w / total[s:e] for w, s, e in zip(weights, starts, ends, strict=True)]
