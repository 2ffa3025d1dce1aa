"""Write any registered data set as COCO's JSON, or in YOLO's segmentation format."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from segsuite.errors import ConfigError, DataError
from segsuite.structures import decode_masks, to_rle
from segsuite.utils.files import write_json, write_text

from ..boxes import annotation_name, as_coco_box, record_size
from ..build import get_records
from ..catalog import Metadata, MetadataCatalog
from ..datasets.annotation_shapes import box_of, segmentation_of
from ..datasets.coco_records import records_to_coco
from ..datasets.instance_maps import objects_of
from ..outlines import joined, trace
from ..panoptic import panoptic_to_annotations, read_panoptic
from ..sem_seg import read_sem_seg

IMAGE_MODES = ("keep", "copy", "link")


def write_coco(
    dataset: str, folder: str | os.PathLike[str], images: str = "keep"
) -> tuple[Path, Path]:
    """Write ``<folder>/<dataset>.json``, an instances file of COCO's format.

    Polygons and run lengths stay what they are. Of a panoptic data set the things are written; of a
    semantic one each region of a class whose pixels touch becomes an object.

    Args:
        dataset: the name of a registered data set.
        folder: is made where it is missing.
        images: "keep": the images stay, and the names in the file start from the folder that all
            of them are in; "copy" and "link": they come, as copies or symbolic links, into
            ``<folder>/images``, from which the names start.

    Returns:
        The JSON file, and the folder that the names in it start from.

    Raises:
        UnknownNameError: no such data set.
        ConfigError: `images` is something else.
        DataError: an annotation can't be used, see `records_to_coco`.
    """
    folder = Path(folder)
    metadata, records = _annotated(dataset)
    root, names = _place_images(records, folder / "images", images)
    named = [{**r, "file_name": n} for r, n in zip(records, names, strict=True)]
    file = folder / f"{dataset}.json"
    write_json(file, records_to_coco(named, metadata))
    return file, root


def write_yolo(
    datasets: Mapping[str, str], folder: str | os.PathLike[str], images: str = "copy"
) -> Path:
    """Write data sets in YOLO's segmentation format: ``data.yaml`` and a text file an image.

    A polygon stays as it is. An object of several parts or with holes becomes one polygon of the
    same pixels, which runs along cuts without width from border to border, since the format has no
    other way. An object that has only a box becomes a line of five numbers. Crowds are left out.

    Args:
        datasets: "train", "val" or "test" -> the name of a registered data set. All have the same
            classes.
        folder: is made where it is missing; images lie in ``images/<split>`` below it.
        images: "copy" or "link", see `write_coco`.

    Returns:
        ``data.yaml``.

    Raises:
        UnknownNameError: no such data set.
        ConfigError: there is another split, or `images` is something else.
        DataError: their classes differ, or an annotation can't be used.
    """
    folder = Path(folder)
    if not datasets or not {"train", "val", "test"}.issuperset(datasets) or images == "keep":
        raise ConfigError(
            f"splits are {', '.join(datasets)}, images '{images}'; expected train, val or test, "
            "and images that are copied or linked beside their labels"
        )
    names: list[str] | None = None
    for split, dataset in datasets.items():
        metadata, records = _annotated(dataset)
        if names is not None and list(metadata.thing_classes) != names:
            raise DataError(
                f"the classes of data set '{dataset}' are {', '.join(metadata.thing_classes)}, "
                f"those of the others {', '.join(names)}; YOLO has one list for all: give them the "
                "same CLASSES"
            )
        names = list(metadata.thing_classes)
        _, places = _place_images(records, folder / "images" / split, images)
        for record, place in zip(records, places, strict=True):
            file = (folder / "labels" / split / place).with_suffix(".txt")
            write_text(file, "".join(f"{line}\n" for line in _yolo_lines(record)))
    described: dict[str, Any] = {"path": "."}
    described.update({split: f"images/{split}" for split in datasets})
    described["names"] = dict(enumerate(names or ()))
    text = yaml.safe_dump(described, sort_keys=False, allow_unicode=True)
    write_text(folder / "data.yaml", text)
    return folder / "data.yaml"


def _annotated(dataset: str) -> tuple[Metadata, list[dict[str, Any]]]:
    """Facts and records of a data set, with sizes and annotations whatever its labels are."""
    records, metadata = get_records([dataset]), MetadataCatalog.get(dataset)
    if all("annotations" in record for record in records):
        of_record: Callable[..., list[dict[str, Any]]] | None = None
    elif all("pan_seg_file_name" in record for record in records):
        of_record = _of_panoptic
    elif all("sem_seg_file_name" in record for record in records):
        of_record = functools.partial(_of_labels, metadata=metadata)
        metadata = Metadata(dataset).set(thing_classes=list(metadata.stuff_classes))
    else:
        raise DataError(f"data set '{dataset}': its records have neither annotations nor labels")
    complete = []
    for record in records:
        size = record_size(record)
        annotations = record["annotations"] if of_record is None else of_record(record)
        sizes = {"height": size[0], "width": size[1]}
        complete.append({**record, **sizes, "annotations": annotations})
    return metadata, complete


def _of_panoptic(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    segments = read_panoptic(record["pan_seg_file_name"])
    return panoptic_to_annotations(segments, record["segments_info"])


def _of_labels(record: Mapping[str, Any], metadata: Metadata) -> list[dict[str, Any]]:
    label_map = record.get("label_map", metadata.get("label_map"))
    labels = read_sem_seg(record["sem_seg_file_name"], label_map)
    size = labels.shape[0], labels.shape[1]
    annotations = []
    background = len(metadata.semantic_labels()) - len(metadata.stuff_classes)  # of a single class
    for category in range(len(metadata.stuff_classes)):
        label = category + background
        if label == metadata.get("ignore_label"):
            continue
        _, regions = cv2.connectedComponents((labels == label).astype(np.uint8))
        for _, bitmap in objects_of(regions):
            shapes = [bitmap]
            annotation = {"bbox": box_of(shapes), "segmentation": segmentation_of(shapes, size)}
            annotations.append({"category_id": category, **annotation})
    return annotations


def _place_images(
    records: Sequence[Mapping[str, Any]], folder: Path, mode: str
) -> tuple[Path, list[str]]:
    """Bring images to a folder, or leave them; where they start from, and their names below it."""
    if mode not in IMAGE_MODES:
        raise ConfigError(f"images is '{mode}'; expected one of {', '.join(IMAGE_MODES)}")
    files = [Path(record["file_name"]).absolute() for record in records]
    root = Path(os.path.commonpath([file.parent for file in files]))
    names = [file.relative_to(root) for file in files]
    if mode == "keep":
        return root, [name.as_posix() for name in names]
    for file, name in zip(files, names, strict=True):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.samefile(file):
            continue
        target.unlink(missing_ok=True)
        if mode == "copy":
            shutil.copyfile(file, target)
        else:
            target.symlink_to(file.resolve())
    return folder, [name.as_posix() for name in names]


def _yolo_lines(record: Mapping[str, Any]) -> list[str]:
    """The objects of a record: class and shares of width and height."""
    size = record["height"], record["width"]
    lines = []
    for number, annotation in enumerate(record["annotations"]):
        if annotation.get("iscrowd"):
            continue
        segmentation = annotation.get("segmentation")
        if segmentation is None or not len(segmentation):
            try:
                x, y, w, h = as_coco_box(annotation, size)
            except DataError as e:
                name = annotation_name(annotation, number)
                raise DataError(f"{record['file_name']}: {name}: {e}") from None
            values = np.array([[x + w / 2, y + h / 2], [w, h]])
        else:
            values = _one_polygon(segmentation, size)
        if len(values):
            shares = (values / [size[1], size[0]]).ravel()
            numbers = " ".join(f"{share:.8f}".rstrip("0").rstrip(".") for share in shares)
            lines.append(f"{annotation['category_id']} {numbers}")
    return lines


def _one_polygon(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """(N, 2) x, y inside the image; (0, 2) where no pixel is in it."""
    if isinstance(segmentation, list) and len(segmentation) == 1:
        points = np.reshape(segmentation[0], (-1, 2))
        if (points >= 0).all() and (points <= [size[1], size[0]]).all():
            return points
    mask = decode_masks([to_rle(segmentation, *size)], *size)[0].numpy()
    return joined(trace(mask)) if mask.any() else np.empty((0, 2))
