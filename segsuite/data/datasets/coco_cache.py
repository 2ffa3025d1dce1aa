"""What COCO files are read as, kept in the cache: see `cached_columns`.

The columns are those of `ColumnRecords`, with the images in the order of their ids and the areas of
objects in one more column, so that training reads its records from them, and evaluation all that it
compares with.
"""

from __future__ import annotations

import codecs
import os
from collections import defaultdict
from pathlib import Path

import numpy as np

from segsuite.errors import DataError, MissingFileError
from segsuite.structures import BoxMode
from segsuite.utils.files import no_garbage_collection
from segsuite.utils.json_list import split_json

from ..cache import Columns, cached_columns
from ..cache.columns import starts_of
from ..cache.tables import (
    IMAGE_KEYS,
    OBJECT_KEYS,
    RLE_TEXT,
    Arrays,
    Odd,
    Table,
    name_columns,
    number_column,
    pack_rests,
    prefixed,
    rest_columns,
)
from .coco_faults import Faults
from .coco_reading import CocoInstances, parse_instances, read_json
from .coco_segmentations import RLE, Segmentations
from .coco_table import AnnotationTable
from .coco_values import are_huge, id_order
from .root import PATH_ADVICE

# A change of what files are read as, or of the columns, reads them anew.
_VERSION = 2
_KEYS = ("images", "categories"), ("annotations",)


def read_coco_instances(
    json_file: str | os.PathLike, image_root: str | os.PathLike | None = None
) -> CocoInstances:
    """Read a file in COCO's or LVIS's format, or what it was read as before, if it is unchanged.

    Args:
        image_root: the folder of the images; sizes that the file lacks are read from them.

    Returns:
        With the images in the order of their ids, and the annotations in that of their images.

    Raises:
        MissingFileError, FileAccessError, DataError: see `read_json` and `parse_instances`.
    """
    return unpack_instances(read_coco_columns(json_file, image_root), os.fspath(json_file))


def read_coco_columns(
    json_file: str | os.PathLike, image_root: str | os.PathLike | None = None
) -> Columns:
    """As `read_coco_instances`, for `ColumnRecords`."""
    path = os.fspath(json_file)
    root = None if image_root is None else os.fspath(image_root)

    def read() -> Columns:
        with no_garbage_collection():
            return pack_instances(_read(path, root))

    if not os.path.exists(path):
        raise MissingFileError(f"no annotation file {path}; {PATH_ADVICE}")
    columns = cached_columns("coco", [path], [root], _VERSION, read)
    facts = columns.facts
    Faults.of_json(facts["faults"]).report(path, facts["num_annotations"])
    return columns


def _read(path: str, root: str | None) -> CocoInstances:
    try:
        instances = _read_fast(path, root)
        table = instances.annotations
        ids = (instances.image_ids, instances.category_ids, [] if table is None else table.ids)
        if not any(map(are_huge, ids)):
            return instances
    except DataError:
        pass  # which may be for ids that have lost digits
    return parse_instances(read_json(path, *_KEYS), path, root)


def _read_fast(path: str, root: str | None) -> CocoInstances:
    """As if whole numbers had 64 bits at most."""
    try:
        text = Path(path).read_bytes().removeprefix(codecs.BOM_UTF8)
        return parse_instances(split_json(text), path, root)
    except DataError:
        raise
    except (OSError, ValueError):
        pass  # no JSON, or not in an order in which it can be read part by part
    return parse_instances(read_json(path, *_KEYS, exact=False), path, root)


def pack_instances(instances: CocoInstances) -> Columns:
    """All of a file as columns."""
    ids = instances.image_ids
    order = sorted(range(len(ids)), key=lambda i: id_order(ids[i]))
    odd: Odd = defaultdict(set)
    columns = {
        "image_id": number_column([ids[i] for i in order], "image_id", odd),
        "height": instances.sizes[order, 0],
        "width": instances.sizes[order, 1],
        **name_columns([instances.file_names[i] for i in order], odd),
    }
    rows = [{"image_id": ids[i], **instances.image_facts[i]} for i in order]
    table = instances.annotations
    if table is None:  # the records have none either
        for row in range(len(rows)):
            odd[row].add("annotations")
        table = AnnotationTable.empty()
    columns |= rest_columns(rows, IMAGE_KEYS, odd)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    image = place[table.images]
    columns["annotations"] = starts_of(np.bincount(image, minlength=len(order)))
    by_image = np.argsort(image, kind="stable")
    columns |= prefixed("object.", _pack_table(table, by_image, instances.sizes))
    facts = {
        "source": instances.source,
        "category_ids": instances.category_ids,
        "category_names": instances.category_names,
        "category_facts": instances.category_facts,
        "num_annotations": instances.num_annotations,
        "is_annotated": instances.annotations is not None,
        "faults": instances.faults.as_json(),
        "also": instances.files,
    }
    return Columns(columns, facts)


def _pack_table(table: AnnotationTable, order: np.ndarray, sizes: np.ndarray) -> Arrays:
    """Annotations as columns, in an order."""
    odd: Odd = defaultdict(set)
    ids = [table.ids[i] for i in order.tolist()]
    masks = table.segmentations.take(order)
    is_rle = masks.forms == RLE
    columns = {
        "id": number_column(ids, "id", odd),
        "category_id": table.categories[order],
        "iscrowd": table.crowds[order].astype(np.int64),
        "bbox_mode": np.full(len(order), int(BoxMode.XYWH_ABS)),
        "bbox": table.boxes[order],
        "area": table.areas[order],
        "form": np.where(is_rle, RLE_TEXT, masks.forms).astype(np.uint8),
        "polygons": _with_zero(masks.polygon_ends),
        "points": _with_zero(masks.value_ends),
        "coordinates": masks.values,
        "rle.starts": _with_zero(masks.text_ends),
        "rle": masks.texts,
        "rle.size": np.where(is_rle[:, None], sizes[table.images[order]], 0).astype(np.int32),
    }
    return columns | pack_rests(len(ids), {i: {"id": ids[i]} for i in odd}, OBJECT_KEYS, odd)


def _with_zero(ends: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], ends])


def unpack_instances(columns: Columns, source: str) -> CocoInstances:
    """What `pack_instances` was given, in the order of the columns."""
    images, facts = Table(columns, ""), columns.facts
    return CocoInstances(
        source=source,
        image_ids=images.values("image_id"),
        file_names=[images.text("file_name", row) for row in range(len(images))],
        sizes=np.stack([columns["height"], columns["width"]], 1),
        image_facts=[
            {key: value for key, value in rest.items() if key not in IMAGE_KEYS}
            for rest in images.rests()
        ],
        category_ids=facts["category_ids"],
        category_names=facts["category_names"],
        category_facts=facts["category_facts"],
        annotations=_unpack_table(columns) if facts["is_annotated"] else None,
        num_annotations=facts["num_annotations"],
        faults=Faults.of_json(facts["faults"]),
        files=facts["also"],
    )


def _unpack_table(columns: Columns) -> AnnotationTable:
    objects = Table(columns, "object.")
    lengths = np.diff(columns["annotations"])
    forms = objects["form"]
    return AnnotationTable(
        ids=objects.values("id"),
        images=np.repeat(np.arange(len(lengths)), lengths),
        categories=objects["category_id"],
        boxes=objects["bbox"],
        areas=objects["area"],
        crowds=objects["iscrowd"] != 0,
        segmentations=Segmentations(
            forms=np.where(forms == RLE_TEXT, RLE, forms),
            polygon_ends=objects["polygons"][1:],
            value_ends=objects["points"][1:],
            values=objects["coordinates"],
            text_ends=objects["rle.starts"][1:],
            texts=objects["rle"],
        ),
    )
