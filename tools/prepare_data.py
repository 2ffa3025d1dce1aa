#!/usr/bin/env python
"""Lay out a published data set under $SEGSUITE_DATASETS and print the statistics of its classes.

What is there is checked and left alone; archives in that folder or its `downloads` are compared
with their checksums and unpacked; what is missing is downloaded, and goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from segsuite.data import DatasetCatalog, Metadata, MetadataCatalog
from segsuite.data.checks.report import Report, statistics_table
from segsuite.data.checks.semantic import examine_label_map, report_label_maps
from segsuite.data.datasets.root import datasets_root
from segsuite.data.prepare import RECIPES, prepare_dataset
from segsuite.data.statistics import read_in_parallel
from segsuite.engine import launch
from segsuite.utils.logger import setup_logger

EPILOG = """after `make demo`:
  python tools/prepare_data.py

lists the data sets that can be prepared. Then, for one of them:
  python tools/prepare_data.py voc_2012_aug
"""


def main(args: argparse.Namespace) -> None:
    if not args.name:
        print(f"can be prepared in {datasets_root()}:")
        for name, recipe in RECIPES.items():
            print(f"  {name:14} {', '.join(recipe.datasets)}")
        return
    setup_logger()
    report = Report()
    names = prepare_dataset(
        args.name,
        mirror=args.mirror,
        allow_download=not args.no_download,
        check=not args.no_checksums,
    )
    for name in names:
        records, metadata = DatasetCatalog.get(name), MetadataCatalog.get(name)

        def examine(record: dict, metadata: Metadata = metadata) -> tuple:
            labels = examine_label_map(
                record["sem_seg_file_name"],
                metadata.label_map,
                len(metadata.stuff_classes),
                metadata.ignore_label,
            )
            return record["file_name"], labels

        labels = read_in_parallel(examine, records)
        bar = tqdm(labels, desc=name, total=len(records), file=sys.stderr, disable=None)
        pairs = list(bar)
        report_label_maps(name, metadata, {}, pairs, report)
        print(f"{name}: {len(records)} images\n{statistics_table(report.statistics[name])}\n")
    print(report.text())
    if report.count("error"):
        sys.exit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help=f"one of {', '.join(RECIPES)}; none: list them"
    )
    parser.add_argument(
        "--mirror", default="", metavar="URL", help="download the archives from this folder"
    )
    parser.add_argument("--no-download", action="store_true", help="use only what is there")
    parser.add_argument(
        "--no-checksums", action="store_true", help="take archives that were packed anew"
    )
    launch(main, 1, (parser.parse_args(),))
