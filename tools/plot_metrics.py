#!/usr/bin/env python
"""Draw figures of a run over the iterations: by default the loss and mIoU."""

from __future__ import annotations

import argparse
from pathlib import Path

from segsuite.engine import launch
from segsuite.errors import MissingPackageError, UnknownNameError
from segsuite.runs import Run

EPILOG = """after `make demo`, with matplotlib (pip install matplotlib):
  python tools/plot_metrics.py output/demo output/demo/curves.png

also:
  python tools/plot_metrics.py RUN lr.svg --left lr --right loss_sem_seg
"""


def curve(run: Run, name: str) -> tuple[list[int], list[float]]:
    """The iterations and values of a figure."""
    points = run.curve(name)
    if not points:
        names = sorted({key for line in run.metrics for key in line} - {"iteration"})
        has = ", ".join(names) or "no figures yet"
        raise UnknownNameError(f"{run.files.metrics} has no '{name}'; it has {has}")
    iterations, values = zip(*points, strict=True)
    return list(iterations), list(values)


def main(args: argparse.Namespace) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackageError("drawing needs matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    run = Run(args.run)
    for side, name, style in ((axes, args.left, "C0-"), (axes.twinx(), args.right, "C1o-")):
        side.plot(*curve(run, name), style)
        side.set_ylabel(name, color=style[:2])
        side.set_ylim(bottom=0)
    axes.set_xlabel("iteration")
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.picture, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN", help="OUTPUT_DIR of a run")
    parser.add_argument("picture", type=Path, help="file to write: .png, .svg, .pdf")
    parser.add_argument("--left", default="total_loss", metavar="NAME", help="figure on the left")
    parser.add_argument("--right", default="sem_seg/mIoU", metavar="NAME", help="on the right")
    launch(main, args=(parser.parse_args(),))
