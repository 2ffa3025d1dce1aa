"""Draw the annotations of data sets, or exactly what the model is fed after augmentation."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segsuite.errors import ConfigError
from segsuite.utils.arguments import positive_int

from .arguments import add_config_source, add_overrides, load_from_arguments

if TYPE_CHECKING:
    from segsuite.config import CfgNode

_COLUMNS, _PANEL = 4, 360

EXAMPLES = """after `segsuite demo`:
  segsuite look --config-file demo --output output/data
  segsuite look --config-file demo --fed --sheet --output output/data

The first draws files as they are annotated, the second the first batches of the training stream,
augmented, in one picture. OUT has data.jpg (--sheet), or a picture for each image.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_source(parser)
    parser.add_argument("--output", required=True, metavar="OUT", help="folder to write to")
    parser.add_argument(
        "--dataset", metavar="NAME", help="instead of the first of DATASETS.TRAIN; not with --fed"
    )
    parser.add_argument(
        "--fed", action="store_true", help="samples of the training loader, after augmentation"
    )
    parser.add_argument("--sheet", action="store_true", help="all in one contact sheet")
    parser.add_argument(
        "--limit", type=positive_int, default=24, metavar="N", help="images (default 24)"
    )
    parser.add_argument(
        "--start", type=int, default=0, metavar="I", help="first image, or with --fed iteration"
    )
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from segsuite.data import MetadataCatalog, register_from_config
    from segsuite.visualization import contact_sheet, legend, save_image

    cfg = load_from_arguments(args)
    register_from_config(cfg)
    names = [args.dataset] if args.dataset and not args.fed else list(cfg.DATASETS.TRAIN)
    if not names:
        raise ConfigError("no data set named: give --dataset, or set DATASETS.TRAIN")
    drawn, files = [], 0
    for name, picture in tqdm(_pictures(cfg, args, names[0]), total=args.limit, disable=None):
        if args.sheet:
            drawn.append(picture)
        else:
            save_image(Path(args.output, f"{name}.jpg"), picture)
        files += 1
    if args.sheet:
        metadata = MetadataCatalog.get(names[0])
        footer = None
        if metadata.get("stuff_classes") and metadata.get("stuff_colors"):
            labels, colors = metadata.semantic_labels(), metadata.semantic_colors()
            footer = legend(labels, colors, _COLUMNS * _PANEL)
        path = Path(args.output, "data.jpg")
        save_image(path, contact_sheet(drawn, columns=_COLUMNS, footer=footer))
        print(f"{path} ({files} images)")
    else:
        print(f"{files} pictures in {args.output}")


def _pictures(cfg: CfgNode, args: argparse.Namespace, dataset: str) -> Iterator[tuple[str, Any]]:
    """Names and pictures."""
    from segsuite.data import ImageReader, MetadataCatalog, build_train_loader, get_records
    from segsuite.data.image import channel_order
    from segsuite.visualization.data import draw_record, draw_sample

    width = _PANEL if args.sheet else None
    records = get_records(dataset)  # fills in what the metadata learn from files
    metadata, reader = MetadataCatalog.get(dataset), ImageReader(cfg)
    if args.fed:
        cfg.DATALOADER.NUM_WORKERS = 0
        batches = build_train_loader(cfg, start_iter=args.start)
        for number, sample in enumerate(islice(chain.from_iterable(batches), args.limit)):
            name = f"{number:04d}_{Path(str(sample['image_id'])).name}"
            yield name, draw_sample(sample, metadata, channel_order(cfg), width, reader=reader)
    else:
        for record in records[args.start : args.start + args.limit]:
            yield str(record["image_id"]), draw_record(record, metadata, width, reader=reader)
