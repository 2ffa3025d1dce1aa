#!/usr/bin/env python
"""Examine data sets: read every file, and report what is wrong or suspicious.

Several data sets, such as the splits for training and evaluation, are also searched for images that
they share. The exit status is 1 if there are errors.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from segsuite.config import load_config
from segsuite.data import register_from_config
from segsuite.data.checks import examine_datasets, write_fixed_copy
from segsuite.data.checks.report import statistics_table
from segsuite.engine import launch
from segsuite.utils.files import write_json

EPILOG = """after `make demo`:
  python tools/check_data.py shapes_train shapes_val
  python tools/check_data.py --config-file output/demo/config.yaml --json output/findings.json
  python tools/check_data.py shapes_val --fix output/mended

The first names data sets, the second takes those of a configuration, the third
writes a mended copy.
"""


def main(args: argparse.Namespace) -> None:
    names = list(args.datasets)
    if args.config_file:
        cfg = load_config(args.config_file, [], args.plugin)
        register_from_config(cfg)
        names = names or [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]
    names = list(dict.fromkeys(names))
    report = examine_datasets(names)
    for name, statistics in report.statistics.items():
        print(f"{name}: {statistics['images']} images\n{statistics_table(statistics)}\n")
    print(report.text())
    if args.json:
        write_json(args.json, report.to_dict(), indent=1)
    if args.fix:
        for name in names:
            changes = write_fixed_copy(name, args.fix / name)
            print(f"\n{args.fix / name}: {len(changes)} changes to {name}")
            print("\n".join(f"  {change}" for change in changes))
    if report.count("error"):
        sys.exit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help="names of data sets")
    parser.add_argument(
        "--config-file",
        metavar="FILE",
        help="register its data sets; by default DATASETS.TRAIN and TEST are examined",
    )
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module that registers data sets; may be repeated",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings to a file")
    parser.add_argument(
        "--fix",
        type=Path,
        metavar="DIR",
        help="write mended copies; the originals stay as they are",
    )
    args = parser.parse_args()
    if not args.datasets and not args.config_file:
        parser.error("name a data set, or a --config-file")
    launch(main, 1, (args,))
