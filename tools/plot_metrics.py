#!/usr/bin/env python
"""Draw figures of a run's metrics.json over the iterations: by default the loss and mIoU."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

EPILOG = """after `make demo`, with matplotlib (pip install matplotlib):
  python tools/plot_metrics.py output/demo/metrics.json output/demo/curves.png

also:
  python tools/plot_metrics.py RUN/metrics.json lr.svg --left lr --right loss_sem_seg
"""


def read_curve(path: Path, name: str) -> tuple[list[int], list[float]]:
    """The iterations and values of a figure in metrics.json."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    points = [(line["iteration"] + 1, line[name]) for line in lines if line.get(name) is not None]
    if not points:
        names = sorted({key for line in lines for key in line} - {"iteration"})
        raise SystemExit(f"{path} has no '{name}'; it has {', '.join(names)}")
    iterations, values = zip(*points, strict=True)
    return list(iterations), list(values)


def main(metrics: Path, picture: Path, left: str, right: str) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit("drawing needs matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    for side, name, style in ((axes, left, "C0-"), (axes.twinx(), right, "C1o-")):
        side.plot(*read_curve(metrics, name), style)
        side.set_ylabel(name, color=style[:2])
        side.set_ylim(bottom=0)
    axes.set_xlabel("iteration")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("metrics", type=Path, help="metrics.json of a run")
    parser.add_argument("picture", type=Path, help="file to write: .png, .svg, .pdf")
    parser.add_argument("--left", default="total_loss", metavar="NAME", help="figure on the left")
    parser.add_argument("--right", default="sem_seg/mIoU", metavar="NAME", help="on the right")
    args = parser.parse_args()
    main(args.metrics, args.picture, args.left, args.right)
