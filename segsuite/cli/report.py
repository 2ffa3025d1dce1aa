"""Write the report of one run, or of several side by side: one HTML file that opens from disk."""

from __future__ import annotations

import argparse

EXAMPLES = """after `segsuite demo`:
  segsuite report output/demo

also:
  segsuite report RUN OTHER_RUN --output comparison.html

Figures come from the files of each run's last evaluation. A run writes its own report.html after
every evaluation, unless TEST.REPORT is False.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="OUTPUT_DIR of a run")
    parser.add_argument(
        "--output", metavar="FILE", help="HTML file; by default RUN/report.html of the first"
    )


def run(args: argparse.Namespace) -> None:
    from segsuite.visualization.report import write_report

    path = write_report(args.runs, args.output)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
