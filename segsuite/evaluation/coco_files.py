"""COCO's files as evaluation needs them: the ground truth, and results of this or another tool.

The format is described at https://cocodataset.org/#format-results.
"""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segsuite.data.catalog import DatasetCatalog, MetadataCatalog
from segsuite.data.datasets import records_to_coco
from segsuite.data.datasets.coco_reading import (
    CocoInstances,
    parse_instances,
    read_coco_instances,
)
from segsuite.data.datasets.coco_table import object_areas
from segsuite.errors import DataError, MissingFileError
from segsuite.structures import to_rle
from segsuite.utils.files import parse_json

from .coco_arrays import COCODetections, COCOObjects, Segmentation

_TASK_OF = {"bbox": "bbox", "segmentation": "segm"}


@dataclass(frozen=True)
class COCOIndex:
    """The numbers that stand for ids of any kind: their places in ascending order.

    Attributes:
        image_ids, category_ids: by number.
        image_numbers, category_numbers: by id.
        sizes: (I, 2) int64, height and width of the images by number.
    """

    image_ids: list[Any]
    category_ids: list[Any]
    image_numbers: dict[Any, int]
    category_numbers: dict[Any, int]
    sizes: np.ndarray

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> COCOIndex:
        """That of the content of an instances file."""
        sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
        return cls.of_ids(sizes, [category["id"] for category in content["categories"]])

    @classmethod
    def of_ids(
        cls, sizes: Mapping[Any, tuple[int, int]], category_ids: Iterable[Hashable]
    ) -> COCOIndex:
        """
        Args:
            sizes: height and width of each image, by its id.
        """
        image_ids, categories = _ascending(sizes), _ascending(set(category_ids))
        return cls(
            image_ids,
            categories,
            {image_id: number for number, image_id in enumerate(image_ids)},
            {category_id: number for number, category_id in enumerate(categories)},
            np.array([sizes[i] for i in image_ids], dtype=np.int64).reshape(-1, 2),
        )


def _ascending(ids: Iterable[Any]) -> list[Any]:
    """Numbers before texts."""
    return sorted(ids, key=lambda id_: (isinstance(id_, str), id_))


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

    def load(self, task: str) -> dict[str, Any]:
        """The content of an instances file, with all that a task compares: for "segm" the objects
        that have a mask, a compressed RLE, for "bbox" all. Each has `area` and `iscrowd`."""
        instances, table = self.instances, self.instances.annotations
        annotations = []
        if table is not None:
            areas = object_areas(table, instances.sizes)
            rows = zip(
                *(table.images.tolist(), table.categories.tolist(), table.boxes.tolist()),
                *(areas.tolist(), table.crowds.tolist()),
                strict=True,
            )
            for i, (image, category, bbox, area, is_crowd) in enumerate(rows):
                image_id = instances.image_ids[image]
                if image_id not in self.sizes:
                    continue
                annotation = {
                    "id": table.ids[i],
                    "image_id": image_id,
                    "category_id": instances.category_ids[category],
                    "bbox": bbox,
                    "area": area,
                    "iscrowd": int(is_crowd),
                }
                if task == "segm":
                    size = self.sizes[image_id]
                    mask = table.segmentations.get(i, *size)
                    if mask is None:
                        continue
                    annotation["segmentation"] = to_rle(mask, *size)
                annotations.append(annotation)
        return {
            "images": [{"id": i, "height": h, "width": w} for i, (h, w) in self.sizes.items()],
            "categories": [{"id": id, "name": name} for id, name in self.categories.items()],
            "annotations": annotations,
        }


def object_columns(annotations: Sequence[Mapping[str, Any]], index: COCOIndex) -> COCOObjects:
    """Annotations of an instances file, which have been cleaned, as columns.

    One without an `area` has that of its mask, or of its box where there is no mask.
    """
    boxes = _box_column(annotations)
    sizes = index.sizes[[index.image_numbers[a["image_id"]] for a in annotations]].tolist()
    masks = [_mask_of(a, size) for a, size in zip(annotations, sizes, strict=True)]
    areas = np.array([math.nan if a.get("area") is None else a["area"] for a in annotations], float)
    for i in np.flatnonzero(np.isnan(areas)).tolist():
        mask = masks[i]
        areas[i] = boxes[i, 2] * boxes[i, 3] if mask is None else mask_area(mask, sizes[i])
    return COCOObjects(
        **_id_columns(annotations, index),
        boxes=boxes,
        masks=masks,
        areas=areas,
        crowds=np.array([bool(a.get("iscrowd")) for a in annotations], dtype=bool),
    )


def detection_columns(detections: Sequence[Mapping[str, Any]], index: COCOIndex) -> COCODetections:
    """Entries of a results file, which have been checked, as columns."""
    scores = np.array([d["score"] for d in detections], dtype=np.float64)
    masks: list[Segmentation | None]
    if any("segmentation" in d for d in detections):
        masks = [d["segmentation"]["counts"] if "segmentation" in d else None for d in detections]
    else:
        masks = [None] * len(detections)
    return COCODetections(
        **_id_columns(detections, index), boxes=_box_column(detections), masks=masks, scores=scores
    )


def mask_area(mask: Segmentation, size: Sequence[int]) -> float:
    """Pixels of a mask.

    Args:
        size: height and width of the image.
    """
    if isinstance(mask, list):
        return float(coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(mask, *size))))
    return float(coco_mask.area({"size": list(size), "counts": mask}))


def _id_columns(entries: Sequence[Mapping[str, Any]], index: COCOIndex) -> dict[str, np.ndarray]:
    # Through the dicts: no array holds ids of all kinds without changing some.
    images, categories = index.image_numbers, index.category_numbers
    return {
        "images": np.array([images[e["image_id"]] for e in entries], dtype=np.int64),
        "categories": np.array([categories[e["category_id"]] for e in entries], dtype=np.int64),
    }


def _box_column(entries: Sequence[Mapping[str, Any]]) -> np.ndarray:
    absent = (math.nan,) * 4
    rows = [e.get("bbox") or absent for e in entries]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _mask_of(annotation: Mapping[str, Any], size: Sequence[int]) -> Segmentation | None:
    segmentation = annotation.get("segmentation")
    if not segmentation:
        return None
    if isinstance(segmentation, Mapping):
        counts: Segmentation = to_rle(dict(segmentation), *size)["counts"]
        return counts
    return [np.asarray(polygon, dtype=np.float64) for polygon in segmentation]


def read_coco_results(path: str | os.PathLike, truth: COCOGroundTruth) -> list[dict[str, Any]]:
    """Read and check a results file: a list of detections.

    Returns:
        Dicts with `image_id`, `category_id`, `score`, and `bbox` (x, y, width, height in pixels),
        `segmentation` (compressed RLE), or both.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is another kind of file, or does not belong to this ground truth; the
            message names the first such detection.
    """
    results = read_results(path)
    if not isinstance(results, list):
        raise DataError(
            f"{path} is not a COCO results file: expected a list of detections, got "
            f"{type(results).__name__}"
        )
    for number, detection in enumerate(results):
        try:
            _check_detection(detection, truth)
        except DataError as e:
            raise DataError(f"{path}, detection {number} (from 0): {e}") from None
    return results


def tasks_of_results(results: Sequence[dict[str, Any]], path: str | os.PathLike) -> list[str]:
    """What a results file can be evaluated for: "bbox", "segm" or both.

    Raises:
        DataError: some detections have a box or a mask and others do not.
    """
    tasks = []
    for key, task in _TASK_OF.items():
        having = sum(key in detection for detection in results)
        if 0 < having < len(results):
            raise DataError(
                f"{path}: {having} of {len(results)} detections have a '{key}'; expected all "
                "or none"
            )
        if having or not results:
            tasks.append(task)
    return tasks


def _check_detection(detection: Any, truth: COCOGroundTruth) -> None:
    if not isinstance(detection, dict):
        raise DataError(f"expected an object, got {type(detection).__name__}")
    for key in ("image_id", "category_id", "score"):
        if key not in detection:
            raise DataError(f"'{key}' is missing; it has {', '.join(sorted(detection))}")
    if detection["image_id"] not in truth.sizes:
        raise DataError(f"image_id {detection['image_id']!r} is not in {truth.path}")
    if detection["category_id"] not in truth.categories:
        known = sorted(truth.categories)
        raise DataError(
            f"category_id {detection['category_id']!r} is not in {truth.path}, whose "
            f"{len(known)} categories go from {known[0]} to {known[-1]}"
        )
    if not _is_finite(detection["score"]):
        raise DataError(f"score {detection['score']!r} is not a finite number")
    if "bbox" not in detection and "segmentation" not in detection:
        raise DataError("it has neither 'bbox' nor 'segmentation'")
    if "bbox" in detection:
        _check_box(detection["bbox"])
    if "segmentation" in detection:
        _check_mask(detection["segmentation"], truth.sizes[detection["image_id"]])


def _check_box(box: Any) -> None:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, box)):
        raise DataError(f"bbox {box!r} is not [x, y, width, height]")
    if box[2] < 0 or box[3] < 0:
        raise DataError(f"bbox {box} has a negative width or height; expected x, y, width, height")


def _check_mask(rle: Any, size: tuple[int, int]) -> None:
    if not isinstance(rle, dict) or not isinstance(rle.get("counts"), str) or "size" not in rle:
        raise DataError("segmentation is not a compressed RLE, {'size': ..., 'counts': text}")
    if list(rle["size"]) != list(size):
        raise DataError(
            f"its mask is {rle['size'][0]} x {rle['size'][1]} (height x width), "
            f"but the image is {size[0]} x {size[1]}"
        )


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


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
