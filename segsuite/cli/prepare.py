"""Lay out a published data set under $SEGSUITE_DATASETS and print the statistics of its classes.

What is there is checked and left alone; archives in that folder or its `downloads` are compared
with their checksums and unpacked; what is missing is downloaded, and goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

EXAMPLES = """examples:
  segsuite prepare

lists the data sets that can be prepared. Then, for one of them:
  segsuite prepare voc_2012_aug
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a data set; none: list them")
    parser.add_argument(
        "--mirror", default="", metavar="URL", help="download the archives from this folder"
    )
    parser.add_argument("--no-download", action="store_true", help="use only what is there")
    parser.add_argument(
        "--no-checksums", action="store_true", help="take archives that were packed anew"
    )


def run(args: argparse.Namespace) -> None:
    from segsuite.data.checks.report import Report, statistics_table
    from segsuite.data.datasets.root import datasets_root
    from segsuite.data.prepare import RECIPES, prepare_dataset
    from segsuite.utils.logger import setup_logger

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
        images = _examine(name, report)
        print(f"{name}: {images} images\n{statistics_table(report.statistics[name])}\n")
    print(report.text())
    if report.count("error"):
        sys.exit(1)


def _examine(name: str, report: Any) -> int:
    """Read all label maps of a data set into `report`; returns the number of images."""
    from tqdm import tqdm

    from segsuite.data import DatasetCatalog, MetadataCatalog
    from segsuite.data.cache import read_in_parallel
    from segsuite.data.checks.semantic import examine_label_map, report_label_maps

    records, metadata = DatasetCatalog.get(name), MetadataCatalog.get(name)

    def examine(record: dict[str, Any]) -> tuple[str, Any]:
        labels = examine_label_map(
            record["sem_seg_file_name"],
            metadata.label_map,
            len(metadata.semantic_labels()),
            metadata.ignore_label,
        )
        return record["file_name"], labels

    labels = read_in_parallel(examine, records)
    pairs = list(tqdm(labels, desc=name, total=len(records), file=sys.stderr, disable=None))
    report_label_maps(name, metadata, {}, pairs, report)
    return len(records)
