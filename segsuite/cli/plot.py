"""Draw figures of a run over the iterations: by default the loss and mIoU."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from segsuite.errors import MissingPackageError, UnknownNameError

if TYPE_CHECKING:
    from segsuite.runs import Run

EXAMPLES = """after `segsuite demo`, with matplotlib (pip install "segsuite-torch[plot]"):
  segsuite plot output/demo output/demo/curves.png

also:
  segsuite plot RUN lr.svg --left lr --right loss_sem_seg
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_dir", metavar="RUN", help="OUTPUT_DIR of a run")
    parser.add_argument("picture", type=Path, help="file to write: .png, .svg, .pdf")
    parser.add_argument("--left", default="total_loss", metavar="NAME", help="figure on the left")
    parser.add_argument("--right", default="sem_seg/mIoU", metavar="NAME", help="on the right")


def run(args: argparse.Namespace) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackageError(
            'drawing needs matplotlib: pip install "segsuite-torch[plot]"'
        ) from None
    from segsuite.runs import Run

    source = Run(args.run_dir)
    curves = [_curve(source, name) for name in (args.left, args.right)]
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    left = figure.subplots()
    sides = [(left, args.left, "C0-"), (left.twinx(), args.right, "C1o-")]
    for (axes, name, style), curve in zip(sides, curves, strict=True):
        axes.plot(*curve, style)
        axes.set_ylabel(name, color=style[:2])
        axes.set_ylim(bottom=0)
    left.set_xlabel("iteration")
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.picture, dpi=120)
    print(args.picture)


def _curve(run: Run, name: str) -> tuple[list[int], list[float]]:
    """The iterations and values of a figure."""
    points = run.curve(name)
    if not points:
        names = sorted({key for line in run.metrics for key in line} - {"iteration"})
        has = ", ".join(names) or "no figures yet"
        raise UnknownNameError(f"{run.files.metrics} has no '{name}'; it has {has}")
    iterations, values = zip(*points, strict=True)
    return list(iterations), list(values)
