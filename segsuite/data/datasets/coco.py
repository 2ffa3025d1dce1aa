"""Instances in COCO's JSON format, and in LVIS's, which is COCO's with a few more facts.

https://cocodataset.org/#format-data and https://www.lvisdataset.org/dataset describe them. Of a
file, ``images``, ``annotations`` and ``categories`` are read; nothing else needs to be there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segsuite.errors import DataError

from ..cache import Columns
from ..cache.tables import Table
from ..catalog import DatasetCatalog, Metadata, MetadataCatalog
from ..palette import default_colors
from ..records import ColumnRecords
from .coco_cache import read_coco_columns
from .coco_faults import Faults, Outcome, some


def register_coco_instances(
    name: str,
    metadata: Mapping[str, Any],
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
) -> Metadata:
    """Register a data set in COCO's format in one call. Nothing is read until it is used.

    Registering the same again changes nothing.

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        metadata: more facts about it, such as ``thing_colors``; may be empty. The names of the
            categories, ``thing_classes``, come from the file when it is read. With ``image_ids``,
            a list, the data set is these images of the file alone, in evaluation too.
        json_file: annotations; see `load_coco_json`.
        image_root: the folder that its ``file_name`` entries start from.

    Raises:
        ConfigError: the arguments contradict an earlier registration.
    """
    json_file, image_root = os.fspath(json_file), os.fspath(image_root)
    facts = MetadataCatalog.get(name).set(
        **{"json_file": json_file, "image_root": image_root, "evaluator_type": "coco", **metadata}
    )
    if name not in DatasetCatalog:
        image_ids = facts.get("image_ids")
        DatasetCatalog.register(
            name, lambda: open_coco_json(json_file, image_root, name, image_ids)
        )
    return facts


def register_lvis_instances(
    name: str,
    metadata: Mapping[str, Any],
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
) -> Metadata:
    """The same for a data set in LVIS's format, which is evaluated by LVIS's rules."""
    return register_coco_instances(
        name, {"evaluator_type": "lvis", **metadata}, json_file, image_root
    )


def load_coco_json(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    dataset_name: str | None = None,
    image_ids: Sequence[Any] | None = None,
) -> list[dict]:
    """Read a file in COCO's or LVIS's format.

    Categories become classes 0, 1, ... in the order of their ids, which may have gaps or be texts.
    Annotations that can't be used, such as those with a bbox without size or outside of the image,
    are left out; of a mask that is partly unusable, such as a polygon of two points or one outside
    of the image, that part. Both are named in one warning. See `clean_annotation` for what is read
    as something else than it is written.

    Args:
        dataset_name: its metadata gets ``thing_classes``, ``thing_colors`` and
            ``thing_dataset_id_to_contiguous_id`` (category id -> class).
        image_ids: of the images that are wanted; None: all.

    Returns:
        A record for each image, in the order of their ids: ``file_name``, ``image_id``, ``height``,
        ``width`` and ``annotations``, a list of dicts with ``id``, ``category_id`` (the class),
        ``bbox`` [x, y, width, height] in pixels, ``bbox_mode`` XYWH_ABS, ``iscrowd`` and, unless
        there is none, ``segmentation``: flat float64 arrays of polygons, or a compressed RLE. Of a
        file without annotations, such as a list of test images, records have none. With LVIS also
        ``neg_category_ids`` and ``not_exhaustive_category_ids``, as classes.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is not in this format, see `parse_instances`; no annotation can be used; an
            unknown image is wanted.
    """
    return list(open_coco_json(json_file, image_root, dataset_name, image_ids))


def open_coco_json(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    dataset_name: str | None = None,
    image_ids: Sequence[Any] | None = None,
) -> ColumnRecords:
    """The records of `load_coco_json`, each of which is made when it is asked for.

    The file is read once for all processes, see `cached_columns`: while it stays as it is, the
    records are in memory that they share.
    """
    columns = read_coco_columns(json_file, image_root)
    records = records_of(columns, os.fspath(json_file), dataset_name)
    if image_ids is None:
        return records
    numbers = {id: row for row, id in enumerate(Table(columns, "").values("image_id"))}
    unknown = set(image_ids).difference(numbers)
    if unknown:
        raise DataError(
            f"{json_file} has no image {some(sorted(unknown, key=str))}, which is asked for"
        )
    return records.select(np.array(sorted({numbers[id] for id in image_ids}), np.int64))


def records_of(columns: Columns, source: str, dataset_name: str | None = None) -> ColumnRecords:
    """The records of what a file says, see `load_coco_json`.

    Args:
        columns: of `pack_instances`.
        source: the file, or what messages call it.

    Raises:
        DataError: no annotation can be used.
    """
    facts = columns.facts
    classes = None if dataset_name is None else _set_metadata(dataset_name, facts)
    num_annotations = facts["num_annotations"]
    if num_annotations and not columns["annotations"][-1]:
        lines = Faults.of_json(facts["faults"]).lines(Outcome.LEFT_OUT, num_annotations)
        raise DataError(
            f"{source}: none of its {num_annotations} annotations can be used:\n" + "\n".join(lines)
        )
    records = ColumnRecords(columns)
    return records if classes is None else records.with_classes(classes)


def _set_metadata(name: str, facts: Mapping[str, Any]) -> np.ndarray | None:
    """Tell the metadata of a data set what its file says about classes.

    Returns:
        The class of each category, by number, where `align_classes` has found another than that.
    """
    names = facts["category_names"]
    metadata = MetadataCatalog.get(name)
    order = metadata.get("class_order", names)
    classes = list(range(len(names))) if order == names else [order.index(n) for n in names]
    metadata.set(
        can_reorder_classes=True,
        thing_classes=order,
        thing_dataset_id_to_contiguous_id=dict(zip(facts["category_ids"], classes, strict=True)),
    )
    if metadata.get("thing_colors") is None:
        metadata.set(thing_colors=default_colors(len(names)))
    # LVIS counts for each category the training images that it is in.
    counts = [category.get("image_count") for category in facts["category_facts"]]
    if counts and None not in counts:
        metadata.set(class_image_count=[counts[k] for k in np.argsort(classes).tolist()])
    return None if order == names else np.array(classes)
