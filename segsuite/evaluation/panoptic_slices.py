"""Panoptic figures by name, and those of slices of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .bootstrap import sampled_totals
from .panoptic_metrics import panoptic_quality
from .slice_figures import SliceFigures, slice_entry
from .slices import Slices


def named_figures(
    counts: torch.Tensor, names: Sequence[str], is_thing: Sequence[bool]
) -> dict[str, torch.Tensor]:
    """All figures in percent: means over all categories, things and stuff, then by category.

    Args:
        counts: (..., K, 4) from `panoptic_counts`, summed over images.
        names: of the K categories.
        is_thing: of each.

    Returns:
        (...) each; NaN where there is neither ground truth nor prediction.
    """
    quality = panoptic_quality(counts)
    things = torch.tensor(is_thing, dtype=torch.bool)
    kinds = {"PQ": quality.pq, "SQ": quality.sq, "RQ": quality.rq}
    figures = {}
    for suffix, of in (("", things | True), ("_th", things), ("_st", ~things)):
        for kind, values in kinds.items():
            figures[kind + suffix] = 100 * values[..., of].nanmean(-1)
    for kind, values in kinds.items():
        figures |= {f"{kind}-{name}": 100 * values[..., k] for k, name in enumerate(names)}
    return figures


def panoptic_slices(
    slices: Slices,
    images: Mapping[Any, torch.Tensor],
    letters: Sequence[str],
    names: Sequence[str],
    is_thing: Sequence[bool],
) -> SliceFigures:
    """All figures of each slice; those without an evaluated image are left out.

    Args:
        images: (R, K, 4) counts of each image by its id.
        letters: before the names of each of the R kinds of figures.
    """

    def figures(totals: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            letter + name: value
            for r, letter in enumerate(letters)
            for name, value in named_figures(totals[..., r, :, :], names, is_thing).items()
        }

    result: SliceFigures = {}
    for name, ids in slices.images.items():
        chosen = [images[i] for i in ids if i in images]
        if chosen:
            counts = torch.stack(chosen)
            of_slice = {f: v.item() for f, v in figures(counts.sum(0)).items()}
            samples = {f: v.numpy() for f, v in figures(sampled_totals(counts[None])[0]).items()}
            result[name] = slice_entry(len(chosen), of_slice, samples)
    return result
