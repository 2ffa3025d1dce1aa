"""Write data sets in COCO's or YOLO's format: registered ones, or an export of another program.

Masks keep their holes and parts. In YOLO's format, which has one polygon for an object, they become
a polygon with cuts that have no width. See docs/datasets.md.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from segsuite.errors import ConfigError

from .arguments import add_config_source, add_overrides, load_from_arguments

if TYPE_CHECKING:
    from segsuite.config import CfgNode

EXAMPLES = r"""after `segsuite demo`:
  segsuite convert-data shapes_instances_val --to coco --output output/as_coco
  segsuite convert-data val=shapes_instances_val --to yolo --output output/as_yolo

also:
  segsuite convert-data my_train my_val --config-file my.yaml --to coco --output OUT
  segsuite convert-data --from labelme ANNOTATIONS=photos --to coco --output OUT
  segsuite convert-data --from cvat ANNOTATIONS=annotations.xml IMAGES=images \
      'CLASSES=[cat, dog]' --to yolo --output OUT

With --from, KEY=VALUE are those that an entry of DATASETS.REGISTER takes with this FORMAT.
"""
_SPLITS = ("train", "val", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="DATASET",
        help="names of data sets, for YOLO as train=NAME; with --from KEY=VALUE of its format",
    )
    parser.add_argument("--to", choices=("coco", "yolo"), required=True, help="the format written")
    parser.add_argument("--output", "-o", required=True, metavar="OUT", help="folder to write to")
    parser.add_argument(
        "--from", dest="format", metavar="FORMAT", help="read an export, which is not registered"
    )
    parser.add_argument(
        "--images",
        choices=("keep", "copy", "link"),
        help="leave the images where they are (COCO's default), copy them (YOLO's) or link them",
    )
    add_config_source(parser, required=False)
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    from segsuite.data import get_records, register_from_config
    from segsuite.data.prepare.write import write_coco, write_yolo
    from segsuite.utils.logger import setup_logger

    setup_logger()
    cfg = load_from_arguments(args)
    names = args.sources if args.format is None else [_describe(cfg, args.format, args.sources)]
    register_from_config(cfg)
    if args.to == "yolo":
        splits = _by_split(names)
        file = write_yolo(splits, args.output, args.images or "copy")
        for split, name in splits.items():
            print(f"{name}: {_count(get_records(name))} to {file} as {split}")
            print(f"  {{FORMAT: yolo, DATA: {file}, SPLIT: {split}}}")
        return
    for name in names:
        file, root = write_coco(name, args.output, args.images or "keep")
        print(f"{name}: {_count(get_records(name))} to {file}")
        print(f"  {{FORMAT: coco_instances, ANNOTATIONS: {file}, IMAGES: {root}}}")


def _describe(cfg: CfgNode, format_name: str, words: list[str]) -> str:
    """Add an entry to DATASETS.REGISTER; its name is that of the format."""
    from segsuite.config.yaml_files import parse_yaml

    entry: dict[str, Any] = {"FORMAT": format_name}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            raise ConfigError(f"{word!r} is no KEY=VALUE, as --from {format_name} takes them")
        is_list = value.startswith(("[", "{")) or value.isdecimal()
        entry[key] = parse_yaml(value, key) if is_list else value
    cfg.DATASETS.REGISTER[format_name] = entry
    return format_name


def _by_split(names: list[str]) -> dict[str, str]:
    splits: dict[str, str] = {}
    for word in names:
        split, sign, name = word.partition("=")
        split, name = (split, name) if sign else ("train", word)
        if split not in _SPLITS or split in splits:
            raise ConfigError(
                f"{word!r} is split '{split}'; expected {', '.join(_SPLITS)} once each, written "
                f"as {split if split in _SPLITS else 'train'}=NAME"
            )
        splits[split] = name
    return splits


def _count(records: Any) -> str:
    objects = sum(len(record.get("annotations", ())) for record in records)
    return f"{len(records)} images with {objects} objects"
