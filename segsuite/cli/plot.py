"""Draw figures of a run over the iterations: by default the loss and mIoU."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from segsuite.errors import DataError, MissingPackageError

EXAMPLES = """after `segsuite demo`, with matplotlib (pip install matplotlib):
  segsuite plot output/demo output/demo/curves.png

also:
  segsuite plot RUN lr.svg --left lr --right loss_sem_seg
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="OUTPUT_DIR of a run")
    parser.add_argument("picture", type=Path, help="file to write: .png, .svg, .pdf")
    parser.add_argument("--left", default="total_loss", metavar="NAME", help="figure on the left")
    parser.add_argument("--right", default="sem_seg/mIoU", metavar="NAME", help="on the right")


def run(args: argparse.Namespace) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackageError("drawing needs matplotlib: pip install matplotlib") from None

    metrics = args.run_dir / "metrics.json" if args.run_dir.is_dir() else args.run_dir
    curves = [read_curve(metrics, name) for name in (args.left, args.right)]
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


def read_curve(path: Path, name: str) -> tuple[list[int], list[float]]:
    """The iterations and values of a figure in metrics.json."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    points = [(line["iteration"] + 1, line[name]) for line in lines if line.get(name) is not None]
    if not points:
        names = sorted({key for line in lines for key in line} - {"iteration"})
        raise DataError(f"{path} has no '{name}'; it has {', '.join(names)}")
    iterations, values = zip(*points, strict=True)
    return list(iterations), list(values)
