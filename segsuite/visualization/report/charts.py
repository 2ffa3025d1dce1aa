"""Charts as SVG text, whose colours come from the page's style sheet, for light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 14, 12, 34
_MAX_POINTS = 400
_MAX_DOTS = 40


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
    x_range = x_range or _extent([p[0] for p in points])
    x_ticks = _ticks(*x_range)
    y_ticks = _ticks(*(y_range or _extent([p[1] for p in points])))
    plane = _Plane(x_range, y_range or (y_ticks[0], y_ticks[-1]))
    parts = [_grid_line(plane.y(tick), tick) for tick in y_ticks if plane.has_y(tick)]
    for tick in x_ticks:
        if plane.has_x(tick):
            parts.append(_text(plane.x(tick), _HEIGHT - _BOTTOM + 15, number(tick), "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4, escape(x_label), "middle"))
    if diagonal:
        low, high = plane.x_range
        corners = f'x1="{plane.x(low):.1f}" y1="{plane.y(low):.1f}" x2="{plane.x(high):.1f}"'
        parts.append(f'<line class="diagonal" {corners} y2="{plane.y(high):.1f}"/>')
    for s in series:
        parts += _line(s, plane)
    return _svg(parts, label)


@dataclass(frozen=True)
class _Plane:
    """Where values are on a chart, in its pixels."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def has_x(self, value: float) -> bool:
        return self.x_range[0] <= value <= self.x_range[1]

    def has_y(self, value: float) -> bool:
        return self.y_range[0] <= value <= self.y_range[1]


def _line(series: Series, plane: _Plane) -> list[str]:
    low, high = plane.y_range
    shown = [p for p in _thin(series.points) if all(map(math.isfinite, p))]
    places = [(plane.x(a), plane.y(min(max(b, low), high))) for a, b in shown]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    color = f"c{series.color % 7}"
    dash = " dashed" if series.dashed else ""
    parts = [f'<polyline class="line {color}{dash}" points="{path}"/>']
    if len(shown) <= _MAX_DOTS:
        for (a, b), (x, y) in zip(shown, places, strict=True):
            title = f"<title>{escape(series.name)}: {number(b)} at {number(a)}</title>"
            place = f'cx="{x:.1f}" cy="{y:.1f}"'
            parts.append(f'<circle class="dot {color}" {place} r="3">{title}</circle>')
    return parts


def _grid_line(y: float, tick: float) -> str:
    """A line of the grid and the number beside it."""
    ends = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
    return f'<line class="grid" {ends}/>' + _text(_LEFT - 6, y + 4, number(tick), "end")


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
        parts.append(_grid_line(bottom - tick * inner_h, tick))
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
