"""What comes before and after a network that was exported bare: pixels in, logits out."""

from __future__ import annotations

import numpy as np

from .images import Size
from .metadata import ExportMetadata

_ROWS = 64  # of the result at a time, so that the logits are never there at full size


def normalized(planes: np.ndarray, metadata: ExportMetadata) -> np.ndarray:
    """(C, h, w) uint8 to float32 as the network takes it, padded with zeros below and to the right
    to what its strides divide."""
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (metadata.mean, metadata.std))
    values = (planes.astype(np.float32) - mean) / std
    step = max(metadata.size_divisibility, 1)
    below, right = -planes.shape[1] % step, -planes.shape[2] % step
    return np.pad(values, ((0, 0), (0, below), (0, right)))


def labels_of_logits(
    logits: np.ndarray, source: Size, size: Size, metadata: ExportMetadata
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and their probabilities, from logits that are brought to the image's size.

    Args:
        logits: (K, h, w), of the padded input's size.
        source: (height, width) of the part that the image covers.
        size: (height, width) of the image.

    Returns:
        (H, W) uint8, int32 for more than 256 classes, and (H, W) float32.
    """
    dtype = np.uint8 if len(logits) <= 256 else np.int32
    labels, confidence = np.empty(size, dtype), np.empty(size, np.float32)
    columns = _neighbours(np.arange(size[1]), source[1] / size[1], logits.shape[2])
    for start in range(0, size[0], _ROWS):
        rows = np.arange(start, min(start + _ROWS, size[0]))
        low, high, weight = _neighbours(rows, source[0] / size[0], logits.shape[1])
        part = _lerp(logits[:, low], logits[:, high], weight[:, None])
        low, high, weight = columns
        part = _lerp(part[:, :, low], part[:, :, high], weight)
        labels[rows], confidence[rows] = _decide(part, metadata.threshold)
    return labels, confidence


def _decide(logits: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    if len(logits) == 1:
        probability = 1 / (1 + np.exp(-logits[0]))
        label = logits[0] > np.log(threshold / (1 - threshold))
        return label, np.where(label, probability, 1 - probability)
    label = logits.argmax(0)
    largest = logits.max(0)
    return label, 1 / np.exp(logits - largest).sum(0)


def _neighbours(
    pixels: np.ndarray, scale: float, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The samples below and above each pixel's centre, and what the upper one weighs."""
    positions = ((pixels + 0.5) * scale - 0.5).clip(0, count - 1)
    low = np.floor(positions).astype(np.intp)
    return low, np.minimum(low + 1, count - 1), (positions - low).astype(np.float32)


def _lerp(low: np.ndarray, high: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return low + (high - low) * weight
