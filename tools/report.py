#!/usr/bin/env python
"""Write the report of one run, or of several side by side: one HTML file that opens from disk."""

from __future__ import annotations

import argparse

from segsuite.engine import launch
from segsuite.visualization.report import write_report

EPILOG = """after `make demo`:
  python tools/report.py output/demo

also:
  python tools/report.py RUN OTHER_RUN --output comparison.html

Figures come from the files of each run's last evaluation. A run writes its own report.html after
every evaluation, unless TEST.REPORT is False.
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="OUTPUT_DIR of a run")
    parser.add_argument(
        "--output", metavar="FILE", help="HTML file; by default RUN/report.html of the first"
    )
    return parser


def main(args: argparse.Namespace) -> None:
    path = write_report(args.runs, args.output)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    launch(main, args=(parser().parse_args(),))
