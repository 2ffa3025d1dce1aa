"""Charts as SVG text, whose colours come from the page's style sheet, for light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 14, 12, 34
_MAX_POINTS = 400


@dataclass
class Series:
    """A line of a chart; `color` is the number of a run."""

    name: str
    points: Sequence[tuple[float, float]]
    color: int
    dashed: bool = False


def line_chart(
    series: Sequence[Series],
    *,
    label: str,
    x_label: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
) -> str:
    """Lines over a grid; where there are few points each is marked, with its value on hovering.

    Args:
        label: what a screen reader says.
        x_range, y_range: by default what the points need.
        diagonal: draw the line y = x.
    """
    points = [p for s in series for p in s.points if all(map(math.isfinite, p))]
    if not points:
        return ""
    x_ticks = _ticks(*(x_range or _extent([p[0] for p in points])))
    y_ticks = _ticks(*(y_range or _extent([p[1] for p in points])))
    x_low, x_high = x_range or _extent([p[0] for p in points])
    y_low, y_high = y_range or (y_ticks[0], y_ticks[-1])

    def x(value: float) -> float:
        return _LEFT + (value - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in y_ticks:
        if y_low <= tick <= y_high:
            ends = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"'
            parts.append(f'<line class="grid" {ends}/>')
            parts.append(_text(_LEFT - 6, y(tick) + 4, number(tick), "end"))
    for tick in x_ticks:
        if x_low <= tick <= x_high:
            parts.append(_text(x(tick), _HEIGHT - _BOTTOM + 15, number(tick), "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4, escape(x_label), "middle"))
    if diagonal:
        corners = f'x1="{x(x_low):.1f}" y1="{y(x_low):.1f}" x2="{x(x_high):.1f}"'
        parts.append(f'<line class="diagonal" {corners} y2="{y(x_high):.1f}"/>')
    for s in series:
        shown = [p for p in _thin(s.points) if all(map(math.isfinite, p))]
        path = " ".join(f"{x(a):.1f},{y(min(max(b, y_low), y_high)):.1f}" for a, b in shown)
        dash = " dashed" if s.dashed else ""
        parts.append(f'<polyline class="line c{s.color % 7}{dash}" points="{path}"/>')
        if len(shown) <= 40:
            for a, b in shown:
                title = f"<title>{escape(s.name)}: {number(b)} at {number(a)}</title>"
                place = f'cx="{x(a):.1f}" cy="{y(min(max(b, y_low), y_high)):.1f}"'
                parts.append(f'<circle class="dot c{s.color % 7}" {place} r="3">{title}</circle>')
    return _svg(parts, label)


def reliability_chart(bins: Sequence[dict], *, color: int, label: str) -> str:
    """Accuracy by confidence as bars, with the diagonal that a calibrated model follows.

    Args:
        bins: ``pixels``, ``confidence`` and ``accuracy`` of each, from `calibration_figures`.
    """
    inner_w, inner_h = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    bottom = _HEIGHT - _BOTTOM
    total = sum(b["pixels"] for b in bins) or 1
    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y = bottom - tick * inner_h
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(_text(_LEFT - 6, y + 4, number(tick), "end"))
        parts.append(_text(_LEFT + tick * inner_w, bottom + 15, number(tick), "middle"))
    width = inner_w / len(bins)
    for i, b in enumerate(bins):
        if not b["pixels"]:
            continue
        h = b["accuracy"] * inner_h
        title = (
            f"{b['pixels']:,} pixels ({100 * b['pixels'] / total:.1f}%): mean confidence "
            f"{b['confidence']:.3f}, right {b['accuracy']:.3f}"
        )
        place = f'x="{_LEFT + i * width + 1:.1f}" y="{bottom - h:.1f}" width="{width - 2:.1f}"'
        opacity = 0.35 + 0.65 * math.sqrt(b["pixels"] / total)
        parts.append(
            f'<rect class="column c{color % 7}" {place} height="{h:.1f}" opacity="{opacity:.2f}">'
            f"<title>{title}</title></rect>"
        )
    ends = f'x1="{_LEFT}" y1="{bottom}" x2="{_WIDTH - _RIGHT}" y2="{_TOP}"'
    parts.append(f'<line class="diagonal" {ends}/>')
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4, "confidence", "middle"))
    return _svg(parts, label)


def number(value: float) -> str:
    """A number as short as it can be read: 12000 -> 12k, 0.2500 -> 0.25, 0.00025 -> 2.5e-4."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    if 0 < abs(value) < 1e-3:
        digits, _, exponent = f"{value:.2e}".partition("e")
        return f"{float(digits):g}e{int(exponent)}"
    return f"{value:.4g}"


def _svg(parts: Sequence[str], label: str) -> str:
    body = "".join(parts)
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return f'<svg class="chart" {size} role="img" aria-label="{escape(label)}">{body}</svg>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _extent(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    # Of what is equal but for rounding, a range without meaning would be shown.
    least = 1e-6 * max(abs(low), abs(high), 1e-6)
    return (low, high) if high - low > least else (low - 0.5, low + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers that cover [low, high]."""
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _thin(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """At most _MAX_POINTS of them, with the first and the last."""
    if len(points) <= _MAX_POINTS:
        return points
    step = (len(points) - 1) / (_MAX_POINTS - 1)
    return [points[round(i * step)] for i in range(_MAX_POINTS)]
