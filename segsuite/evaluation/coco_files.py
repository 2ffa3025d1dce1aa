"""COCO's files as evaluation needs them: the ground truth, and results of this or another tool.

The format is described at https://cocodataset.org/#format-results.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segsuite.data.catalog import DatasetCatalog, MetadataCatalog
from segsuite.data.datasets import records_to_coco
from segsuite.data.datasets.coco_cache import read_coco_instances
from segsuite.data.datasets.coco_faults import Faults, some
from segsuite.data.datasets.coco_reading import CocoInstances, parse_instances
from segsuite.data.datasets.coco_table import AnnotationTable, object_areas, read_annotations
from segsuite.data.datasets.coco_values import Ids, id_order
from segsuite.errors import DataError, MissingFileError
from segsuite.utils.files import parse_json

from .coco_arrays import COCOObjects, Segmentation


@dataclass(frozen=True)
class COCOIndex:
    """The numbers that stand for ids of any kind: their places in ascending order.

    Attributes:
        source: the file, or what messages call the ground truth.
        image_ids, category_ids: by number.
        image_numbers, category_numbers: by id.
        sizes: (I, 2) int64, height and width of the images by number.
    """

    source: str
    image_ids: list[Any]
    category_ids: list[Any]
    image_numbers: Ids
    category_numbers: Ids
    sizes: np.ndarray

    @functools.cached_property
    def size_lists(self) -> list[list[int]]:
        """[height, width] of the images by number, to compare with what a file has."""
        lists: list[list[int]] = self.sizes.tolist()
        return lists

    @classmethod
    def of_ids(
        cls,
        sizes: Mapping[Any, tuple[int, int]],
        category_ids: Iterable[Hashable],
        source: str = "the ground truth",
    ) -> COCOIndex:
        """
        Args:
            sizes: height and width of each image, by its id.
            source: see the class.
        """
        image_ids = sorted(sizes, key=id_order)
        categories = sorted(set(category_ids), key=id_order)
        return cls(
            source,
            image_ids,
            categories,
            Ids(image_ids),
            Ids(categories),
            np.array([sizes[i] for i in image_ids], dtype=np.int64).reshape(-1, 2),
        )


@dataclass(frozen=True)
class COCOGroundTruth:
    """What is said about images, categories and objects.

    Attributes:
        path: the file, or what to call the data set whose records it is.
        sizes: (height, width) of each image that counts, by its id.
        categories: names by id.
        instances: all that the file says, cleaned as for training.
    """

    path: Path | str
    sizes: dict[Any, tuple[int, int]]
    categories: dict[Any, str]
    instances: CocoInstances

    @classmethod
    def read(
        cls,
        path: str | os.PathLike,
        image_ids: Sequence[Any] | None = None,
        image_root: str | os.PathLike | None = None,
    ) -> COCOGroundTruth:
        """Read an instances file.

        Args:
            image_ids: of the images that count; None: all.
            image_root: the folder of the images; sizes that the file lacks are read from them.

        Raises:
            MissingFileError, DataError: see `read_coco_instances`.
        """
        return cls._of(Path(path), read_coco_instances(path, image_root), image_ids)

    @classmethod
    def of_records(
        cls, dataset_name: str, image_ids: Sequence[Any] | None = None
    ) -> COCOGroundTruth:
        """The annotations in the records of a data set that no file is known to hold.

        Raises:
            UnknownNameError: there is no such data set.
            DataError: see `records_to_coco`.
        """
        path = f"data set '{dataset_name}'"
        metadata = MetadataCatalog.get(dataset_name)
        content = records_to_coco(DatasetCatalog.get(dataset_name), metadata)
        instances = parse_instances(content, path)
        instances.faults.report(path, instances.num_annotations)
        return cls._of(path, instances, image_ids)

    @classmethod
    def _of(
        cls, path: Path | str, instances: CocoInstances, image_ids: Sequence[Any] | None
    ) -> COCOGroundTruth:
        sizes = {
            id: (height, width)
            for id, (height, width) in zip(
                instances.image_ids, instances.sizes.tolist(), strict=True
            )
            if image_ids is None or id in image_ids
        }
        categories = dict(zip(instances.category_ids, instances.category_names, strict=True))
        return cls(path, sizes, categories, instances)

    @property
    def is_annotated(self) -> bool:
        """Whether there is anything to compare with: lists of test images have no annotations."""
        return self.instances.annotations is not None

    @functools.cached_property
    def index(self) -> COCOIndex:
        """The numbers of the images that count and of the categories."""
        return COCOIndex.of_ids(self.sizes, self.categories, str(self.path))

    def objects(self) -> COCOObjects:
        """The objects in the images that count.

        Raises:
            DataError: the file has no annotations.
        """
        table = self.instances.annotations
        if table is None:
            raise DataError(f"{self.path} has no annotations; expected those of the images")
        return object_columns(table, self.instances.sizes, self.instances.image_ids, self.index)


def read_objects(content: Mapping[str, Any]) -> tuple[COCOObjects, COCOIndex]:
    """The objects of the content of an instances file, and the numbers of its images.

    Images may be without a `file_name`, and ids of annotations do not matter.

    Raises:
        DataError: an annotation is of a category that is not listed, or has flags that are none.
    """
    source = "the ground truth"
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    category_ids = [category["id"] for category in content["categories"]]
    index = COCOIndex.of_ids(sizes, category_ids, source)
    annotations, faults = content["annotations"], Faults()
    ids = [annotation.get("id", number) for number, annotation in enumerate(annotations)]
    table = read_annotations(
        annotations, ids, index.image_numbers, index.sizes, index.category_numbers, faults
    )
    faults.report(source, len(annotations))
    faults.refuse(source, len(annotations), f"It lists the categories {some(index.category_ids)}")
    return object_columns(table, index.sizes, index.image_ids, index), index


def object_columns(
    table: AnnotationTable, sizes: np.ndarray, image_ids: Sequence[Any], index: COCOIndex
) -> COCOObjects:
    """Annotations of a file as columns, those of images that are in `index`.

    One without an area has that of its mask, or of its box where there is no mask.

    Args:
        sizes: (F, 2) int64, height and width of the images of the file.
        image_ids: F ids.
    """
    known = index.image_numbers.exact
    numbers = np.array([known.get(image_id, -1) for image_id in image_ids], dtype=np.int64)
    images = numbers[table.images]
    of_rows = sizes[table.images].reshape(-1, 2).tolist()
    masks: list[Segmentation | None] = []
    for row, (height, width) in enumerate(of_rows):
        mask = table.segmentations.get(row, height, width)
        masks.append(mask["counts"] if isinstance(mask, dict) else mask)
    objects = COCOObjects(
        images=images,
        categories=table.categories,
        boxes=table.boxes,
        masks=masks,
        areas=object_areas(table, sizes),
        crowds=table.crowds,
    )
    return objects if (images >= 0).all() else objects.take(images >= 0)


def read_results(path: str | os.PathLike) -> Any:
    """The content of a JSON file of results.

    Raises:
        MissingFileError, DataError: there is no such file, or it is not JSON.
    """
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError(f"there is no file {path}") from None
    except ValueError as e:
        raise DataError(f"{path} is not a JSON file: {e}") from None
