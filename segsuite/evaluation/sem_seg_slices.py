"""Intervals of semantic figures, and the figures of slices, from the pixel counts of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .bootstrap import NUM_SAMPLES, iou_intervals, sampled_totals
from .boundary import boundary_iou_of_counts
from .metrics import metrics_of_counts
from .slice_figures import LEVEL, SliceFigures, slice_entry
from .slices import Slices


def figure_intervals(
    counts: torch.Tensor | None, names: Sequence[str], absent_classes: str, averaged: Sequence[int]
) -> dict[str, Any]:
    """Intervals of the mean IoU and of that of each class, in percent, None for classes left out.

    Args:
        counts: (N, 3, K) int64 of N images, or None.
    """
    figures: dict[str, list[float | None]] = {}
    if counts is not None:
        ends = iou_intervals(counts, absent_classes=absent_classes, averaged=averaged)
        for name, pair in zip(
            ["mIoU", *(f"IoU-{name}" for name in names)],
            torch.stack(ends, 1).tolist(),
            strict=True,
        ):
            figures[name] = [None if end != end else 100 * end for end in pair]
    return {"level": LEVEL, "samples": NUM_SAMPLES, "figures": figures}


def sem_seg_slices(
    slices: Slices,
    images: dict[str, Any],
    names: Sequence[str],
    absent_classes: str,
    averaged: Sequence[int],
) -> SliceFigures:
    """All figures of each slice; those without an evaluated image are left out.

    Args:
        images: as `ImageCounts.gather` gives them.
        names: of the K classes.
        absent_classes, averaged: see `metrics.metrics_of_counts`.
    """
    kinds = [kind for kind in ("counts", "boundary_counts") if images.get(kind) is not None]
    rows = {image_id: i for i, image_id in enumerate(images["image_ids"])}

    def figures(totals: torch.Tensor) -> dict[str, torch.Tensor]:
        # (..., kinds, 3, K) summed over images.
        metrics = metrics_of_counts(
            totals[..., 0, :, :], absent_classes=absent_classes, averaged=averaged
        )
        named = metrics.named(names)
        if len(kinds) > 1:
            biou = boundary_iou_of_counts(totals[..., 1, :, :], absent_classes=absent_classes)
            named["mBIoU"] = biou[..., list(averaged)].nanmean(-1)
            named |= {f"BIoU-{name}": biou[..., k] for k, name in enumerate(names)}
        return named

    result: SliceFigures = {}
    for name, ids in slices.images.items():
        chosen = [rows[str(image)] for image in ids if str(image) in rows]
        if chosen and kinds:
            counts = torch.stack([images[kind][chosen] for kind in kinds], 1)  # (N, kinds, 3, K)
            samples = sampled_totals(counts[None])[0]
            of_slice = {f: 100 * v.item() for f, v in figures(counts.sum(0)).items()}
            of_samples = {f: 100 * v.numpy() for f, v in figures(samples).items()}
            result[name] = slice_entry(len(chosen), of_slice, of_samples)
    return result
