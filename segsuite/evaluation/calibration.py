"""How far the confidence of predictions can be believed: reliability by bins, and its error."""

from __future__ import annotations

import math

import torch

from segsuite.structures import SemSegPrediction

NUM_BINS = 15
_SAMPLES = 8192  # pixels of an image that are looked at
_UNIT = 1 << 24  # confidences are added up as integers, so that their order does not matter


def calibration_counts(
    prediction: SemSegPrediction, target: torch.Tensor, *, ignore_index: int = 255
) -> torch.Tensor:
    """Sort pixels of one image by the confidence of their prediction, the probability of its label.

    Every n-th row and column is looked at, so that it costs the same for images of any size.

    Args:
        target: (H, W) integer labels.

    Returns:
        (15, 3) int64: pixels, sum of their confidences in units of 2**-24, and those that are
        right, for bins of equal width over [0, 1]. Add up over images; pixels with NaN logits are
        in none.
    """
    step = max(1, math.ceil(math.sqrt(target.numel() / _SAMPLES)))
    rows, columns = (torch.arange(step // 2, n, step, device=target.device) for n in target.shape)
    probability, label = prediction.confident_labels(rows, columns)
    truth = target[rows][:, columns]
    counted = (truth != ignore_index) & probability.isfinite()
    confidence = probability.where(counted, 0.0).double()
    bins = (confidence * NUM_BINS).long().clamp(max=NUM_BINS - 1)
    values = torch.stack([counted.long(), (confidence * _UNIT).round().long(), label == truth], -1)
    values = values * counted[..., None]
    result = torch.zeros(NUM_BINS, 3, dtype=torch.int64, device=target.device)
    return result.index_add_(0, bins.flatten(), values.flatten(0, 1))


def calibration_figures(counts: torch.Tensor) -> dict:
    """Reliability by bins and the expected calibration error.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        counts: from `calibration_counts`, summed over images.

    Returns:
        ``{"ECE": percent, "bins": [{"pixels", "confidence", "accuracy"}, ...]}``, the last two in
        [0, 1] and None for empty bins; ECE is None where there are no pixels.
    """
    pixels, confidence, right = counts.double().cpu().unbind(1)
    confidence, accuracy = confidence / _UNIT / pixels, right / pixels
    gap = (confidence - accuracy).abs().nan_to_num() * pixels
    total = pixels.sum().item()
    bins = [
        {"pixels": int(n), "confidence": c if n else None, "accuracy": a if n else None}
        for n, c, a in zip(*(x.tolist() for x in (pixels, confidence, accuracy)), strict=True)
    ]
    return {"ECE": 100 * gap.sum().item() / total if total else None, "bins": bins}
