#!/usr/bin/env python
"""Draw the curves in a run's metrics.json as an SVG file.

tools/plot_metrics.py output/metrics.json docs/images/camvid_unet_resnet18.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

_WIDTH, _HEIGHT, _MARGIN = 640, 320, 48
_COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")


def read_curve(path: Path, name: str) -> list[tuple[int, float]]:
    """The (iteration, value) pairs of a figure in metrics.json."""
    lines = map(json.loads, path.read_text().splitlines())
    return [(line["iteration"], line[name]) for line in lines if line.get(name) is not None]


def svg(curves: dict[str, list[tuple[int, float]]]) -> str:
    """One line a figure over the iterations, each scaled to its own maximum (zero at the foot)."""
    right = max(x for curve in curves.values() for x, _ in curve) or 1
    parts = []
    for i, ((name, curve), color) in enumerate(zip(curves.items(), _COLORS, strict=False)):
        top = max(y for _, y in curve) or 1
        points = " ".join(
            f"{_MARGIN + x / right * (_WIDTH - 2 * _MARGIN):.1f},"
            f"{_HEIGHT - _MARGIN - y / top * (_HEIGHT - 2 * _MARGIN):.1f}"
            for x, y in curve
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        label = f"{name}: last {curve[-1][1]:.3g}, largest {top:.3g}"
        parts.append(f'<text x="{_MARGIN}" y="{16 + 16 * i}" fill="{color}">{label}</text>')
    foot = _HEIGHT - _MARGIN
    parts.append(f'<path d="M{_MARGIN} {foot}H{_WIDTH - _MARGIN}" stroke="black"/>')
    parts.append(f'<text x="{_MARGIN}" y="{foot + 18}">iteration 0</text>')
    parts.append(f'<text x="{_WIDTH - _MARGIN}" y="{foot + 18}" text-anchor="end">{right}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="13">\n'
        '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("metrics", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--names", nargs="+", default=["total_loss", "sem_seg/mIoU"])
    args = parser.parse_args()
    curves = {name: read_curve(args.metrics, name) for name in args.names}
    for name, curve in curves.items():
        if not curve:
            parser.error(f"{args.metrics} has no '{name}'")
    args.output.write_text(svg(curves))


if __name__ == "__main__":
    main()
