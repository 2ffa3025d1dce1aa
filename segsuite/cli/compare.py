"""Tell whether one run is better than another, or only luckier with the images.

The mIoU of the two on the same images, the difference with its 95 % interval and the p-value, by
the paired bootstrap over images. Both must have been evaluated, as training does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from segsuite.errors import DataError

EXAMPLES = r"""after `segsuite demo`:
  segsuite train --config-file demo SOLVER.MAX_ITER 60 OUTPUT_DIR output/quarter
  segsuite compare output/demo output/quarter
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_a", type=Path, metavar="RUN_A", help="OUTPUT_DIR of a run")
    parser.add_argument("run_b", type=Path, metavar="RUN_B", help="OUTPUT_DIR of another")
    parser.add_argument("--dataset", metavar="NAME", help="by default all that both have")


def run(args: argparse.Namespace) -> None:
    from segsuite.evaluation.compare import compare_runs, evaluated_datasets

    in_both = set(evaluated_datasets(args.run_a)) & set(evaluated_datasets(args.run_b))
    names = [args.dataset] if args.dataset else sorted(in_both)
    if not names:
        found = [", ".join(evaluated_datasets(run)) or "none" for run in (args.run_a, args.run_b)]
        raise DataError(
            f"no data set that both runs were evaluated on: {args.run_a} has {found[0]}, "
            f"{args.run_b} has {found[1]}. `segsuite eval --run-dir RUN` evaluates a run"
        )
    for name in names:
        result, images = compare_runs(args.run_a, args.run_b, name)
        verdict = "more than the choice of images explains" if result.p < 0.05 else "may be chance"
        print(
            f"{name}: {images} images\n"
            f"  A  mIoU {100 * result.first:6.2f}  {args.run_a}\n"
            f"  B  mIoU {100 * result.second:6.2f}  {args.run_b}\n"
            f"  B - A   {100 * result.difference:+6.2f}  95 % interval {100 * result.low:+.2f} to "
            f"{100 * result.high:+.2f}, p = {result.p:.3f}: {verdict}"
        )
