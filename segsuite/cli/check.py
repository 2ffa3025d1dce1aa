"""Examine data sets: read every file, and report what is wrong or suspicious.

Several data sets, such as the splits for training and evaluation, are also searched for images that
they share. The exit status is 1 if there are errors.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from segsuite.errors import ConfigError

from .arguments import add_config_source, add_overrides, load_from_arguments

EXAMPLES = """after `segsuite demo`:
  segsuite check shapes_train shapes_val
  segsuite check --run-dir output/demo --json output/findings.json
  segsuite check shapes_val --fix output/fixed

The first names data sets, the second takes those of a run, the third writes a fixed copy.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_source(parser, required=False)
    parser.add_argument(
        "datasets",
        nargs="*",
        metavar="DATASET",
        help="names of data sets; by default DATASETS.TRAIN and TEST of the configuration, or else "
        "those that plug-ins register",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings to a file")
    parser.add_argument(
        "--fix",
        type=Path,
        metavar="DIR",
        help="write fixed copies; the originals stay as they are",
    )
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    from segsuite.data import DatasetCatalog, ImageReader, register_from_config
    from segsuite.data.checks import examine_datasets, write_fixed_copy
    from segsuite.data.checks.pixels import pixels_text
    from segsuite.data.checks.report import statistics_table
    from segsuite.utils.files import write_json

    known = set(DatasetCatalog.list())
    cfg = load_from_arguments(args)
    register_from_config(cfg)
    names = list(dict.fromkeys(args.datasets or [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]))
    if not names and args.plugin:
        names = [name for name in DatasetCatalog.list() if name not in known]
    if not names:
        raise ConfigError(
            "nothing to examine: name a data set, a --config-file, a --run-dir, or a --plugin that "
            "registers one"
        )
    settings = ImageReader.from_config(cfg)
    if not args.config_file and not args.run_dir:
        settings["channels"] = None  # there is no model that they are for
    has_model = bool(args.config_file or args.run_dir)
    report = examine_datasets(names, ImageReader(**settings), cfg if has_model else None)
    for name, pixels in report.pixels.items():
        print(f"{name}: {pixels_text(pixels)}")
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
