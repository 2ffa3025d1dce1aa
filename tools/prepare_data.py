#!/usr/bin/env python
"""The same as `segsuite prepare`."""

import sys

<<<<<<< HEAD
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

=======
from segsuite.cli import main
>>>>>>> 30a1f91 (The command segsuite, and the distribution segsuite-torch with recipes and extension in one wheel)

if __name__ == "__main__":
    main(["prepare", *sys.argv[1:]])
