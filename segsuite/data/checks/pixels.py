"""What the images of a data set hold: types, bands and ranges of their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from segsuite.runtime.value_range import ValueRange

from ..image import ImageReader
from ..image_files import ImageHeader
from .report import Report

# Of a range this share, or less, is in use: that is two bits of the type.
_LITTLE_USED = 0.25
_BEYOND = 0.01  # share of values that may be clipped without a word
_CV_CHANNELS = 4  # more of these OpenCV has no statistics of


@dataclass
class PixelFacts:
    """What is known of the values of an image.

    Attributes:
        header: of the file.
        low, high: the smallest and the largest value, those without data aside; None where there
            are only these.
        beyond: share of the values that the reader's range clips.
        mean, variance: (C,) of the channels that the model gets, 0-255; None where it gets none.
    """

    header: ImageHeader
    low: float | None
    high: float | None
    beyond: float = 0.0
    mean: np.ndarray | None = None
    variance: np.ndarray | None = None


def examine_pixels(
    pixels: np.ndarray, header: ImageHeader, reader: ImageReader, name: str
) -> PixelFacts:
    """Look at the values of an image.

    Args:
        pixels: (H, W, C) as stored.
        reader: that the model gets its images from, and that can take this one.
    """
    values = pixels
    if pixels.dtype.kind == "f":
        values = pixels[np.isfinite(pixels)]
    if header.no_data is not None:
        values = values[values != header.no_data]
    facts = PixelFacts(header, None, None)
    if values.size:
        facts.low, facts.high = float(values.min()), float(values.max())
    limits = reader.value_range.limits(header.dtype, header.bits)
    if limits is not None and values.size:
        facts.beyond = float(((values < limits[0]) | (values > limits[1])).mean())
    channels = reader.convert(pixels, header, name)
    if channels.shape[2] <= _CV_CHANNELS:
        mean, deviation = cv2.meanStdDev(channels)
        facts.mean, facts.variance = mean.ravel(), deviation.ravel() ** 2
    else:
        flat = channels.reshape(-1, channels.shape[2])
        facts.mean, facts.variance = flat.mean(0), flat.var(0)
    return facts


def grey_picture(pixels: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of an image as it is stored, (H, W, C): of its first three bands, or the only
    one, from its smallest to its largest value."""
    shown = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]
    shown = ValueRange(("0%", "100%")).scale(np.ascontiguousarray(shown), "the image")
    return cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY) if shown.shape[2] == 3 else shown[..., 0]


def report_pixels(
    name: str, images: Sequence[PixelFacts], reader: ImageReader, report: Report
) -> None:
    """Add what the images of a data set hold as a whole, and what is odd about it."""
    if not images:
        return
    types = Counter(facts.header.dtype.name for facts in images)
    summary = _summary(images, types)
    report.pixels[name] = summary
    low, high = summary["low"], summary["high"]
    if set(types) - {"uint8", "bool"}:
        bits = max(_bits(facts.header) for facts in images)
        found = ", ".join(f"{dtype} ({count} images)" for dtype, count in types.items())
        report.add(name, "image-depth", name, f"{found}, {bits} bits, values {low:g} to {high:g}")
    if len(types) > 1:
        found = ", ".join(f"{count} of {dtype}" for dtype, count in types.items())
        report.add(name, "image-types", name, found)
    _report_range(name, images, reader, report)


def _summary(images: Sequence[PixelFacts], types: Counter[str]) -> dict[str, Any]:
    lows = [facts.low for facts in images if facts.low is not None]
    highs = [facts.high for facts in images if facts.high is not None]
    summary: dict[str, Any] = {
        "types": dict(types),
        "bands": dict(Counter(str(facts.header.bands) for facts in images)),
        "bits": max(_bits(facts.header) for facts in images),
        "low": min(lows, default=0.0),
        "high": max(highs, default=0.0),
    }
    read = [facts for facts in images if facts.mean is not None]
    if read and len({len(facts.mean) for facts in read if facts.mean is not None}) == 1:
        sizes = np.array([np.prod(facts.header.size, dtype=float) for facts in read])
        weights = (sizes / sizes.sum())[:, None]
        means = np.array([facts.mean for facts in read])
        variances = np.array([facts.variance for facts in read])
        mean = (weights * means).sum(0)
        # The variance of all is the mean of the images' and that of their means.
        variance = (weights * (variances + (means - mean) ** 2)).sum(0)
        summary["mean"] = mean.round(3).tolist()
        summary["std"] = np.sqrt(variance).round(3).tolist()
    return summary


def _bits(header: ImageHeader) -> int:
    return header.bits or (1 if header.dtype == bool else header.dtype.itemsize * 8)


def _report_range(
    name: str, images: Sequence[PixelFacts], reader: ImageReader, report: Report
) -> None:
    by_range: dict[tuple[float, float], list[PixelFacts]] = {}
    for facts in images:
        limits = reader.value_range.limits(facts.header.dtype, facts.header.bits)
        if limits is not None and facts.low is not None:
            by_range.setdefault(limits, []).append(facts)
    for (low, high), found in by_range.items():
        used = max(facts.high for facts in found if facts.high is not None)
        least = min(facts.low for facts in found if facts.low is not None)
        beyond = float(np.mean([facts.beyond for facts in found]))
        if beyond > _BEYOND:
            clipped = f"{100 * beyond:.1f} % of the values lie beyond {low:g} to {high:g}"
            report.add(name, "image-range", name, f"{clipped}: they go from {least:g} to {used:g}")
        elif used - least <= _LITTLE_USED * (high - low):
            detail = f"values {least:g} to {used:g} of the range {low:g} to {high:g}"
            report.add(name, "image-range", name, detail)


def pixels_text(summary: dict[str, Any]) -> str:
    """The summary of a data set's images in a line or two.

    Args:
        summary: of `Report.pixels`.
    """
    types = " and ".join(summary["types"])
    bands = " and ".join(sorted(summary["bands"], key=int))
    text = f"{types}, {summary['bits']} bits, {bands} {'band' if bands == '1' else 'bands'}"
    text += f", values {summary['low']:g} to {summary['high']:g}"
    if "mean" in summary:
        order = " (R, G, B)" if len(summary["mean"]) == 3 else ""
        text += f"\n  as the model gets them: mean {summary['mean']}, std {summary['std']}{order}"
    return text
