"""The check of objects before training: what would stop it or spoil it, and what is not learned."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segsuite.errors import ConfigError, DataError

from ..boxes import annotation_name, as_coco_box, box_mode, has_mask, record_size
from ..cache import read_in_parallel
from ..catalog import Metadata
from ..datasets.coco_annotations import clean_annotation
from ..datasets.coco_cache import read_coco_instances
from ..datasets.coco_faults import VALUE_TYPE, Fault, Faults, Outcome, some
from ..datasets.coco_segmentations import NONE
from .files import raise_faults

logger = logging.getLogger(__name__)

_SHOWN = 5
# COCO's figures count as many detections of an image and class, the best ones.
MAX_DETECTIONS = 100


@dataclass(frozen=True)
class ObjectFacts:
    """What is asked of all objects of a data set.

    Attributes:
        ids: N ids; where an annotation has none, its number in its image.
        images: (N,) int64, by number.
        categories: (N,) int64, the classes.
        crowds, masked: (N,) bool; whether they have a mask.
    """

    ids: list[Any]
    images: np.ndarray
    categories: np.ndarray
    crowds: np.ndarray
    masked: np.ndarray

    @classmethod
    def of_records(cls, records: Sequence[Mapping[str, Any]]) -> ObjectFacts:
        """Those of the ``annotations`` of records; of a panoptic record without any the things
        among its segments, which then are its objects."""
        ids: list[Any] = []
        rows: list[tuple[int, int, bool, bool]] = []
        for image, record in enumerate(records):
            if "segments_info" in record and "annotations" not in record:
                things = [segment for segment in record["segments_info"] if segment["isthing"]]
                ids += [segment["id"] for segment in things]
                rows += [(image, s["category_id"], bool(s.get("iscrowd")), True) for s in things]
            for number, annotation in enumerate(record.get("annotations") or ()):
                ids.append(annotation.get("id", f"number {number} (from 0) of image {image}"))
                crowd = bool(annotation.get("iscrowd"))
                rows.append((image, annotation["category_id"], crowd, has_mask(annotation)))
        return cls.of_rows(ids, rows)

    @classmethod
    def of_rows(cls, ids: list[Any], rows: Sequence[tuple[int, int, bool, bool]]) -> ObjectFacts:
        """Of N ids and as many (image, category, whether it is a crowd, whether it has a mask)."""
        table = np.array(rows, np.int64).reshape(-1, 4)
        return cls(ids, table[:, 0], table[:, 1], table[:, 2] > 0, table[:, 3] > 0)

    @classmethod
    def of_file(cls, metadata: Metadata) -> ObjectFacts:
        """Those of a data set in COCO's format, without its records."""
        instances = read_coco_instances(metadata.json_file, metadata.image_root)
        table, wanted = instances.annotations, metadata.get("image_ids")
        if table is None:
            return cls.of_records([])
        is_wanted = np.ones(len(instances.image_ids), bool)
        if wanted is not None:
            chosen = set(wanted)
            is_wanted = np.array([id in chosen for id in instances.image_ids], bool)
        rows = is_wanted[table.images].nonzero()[0]
        return cls(
            [table.ids[row] for row in rows.tolist()],
            table.images[rows],
            table.categories[rows],
            table.crowds[rows],
            table.segmentations.forms[rows] != NONE,
        )

    def __len__(self) -> int:
        return len(self.ids)


def check_objects(
    metadata: Metadata,
    objects: ObjectFacts,
    num_images: int,
    *,
    num_classes: int,
    use_masks: bool,
    for_training: bool,
) -> None:
    """Check the classes and masks of objects; say which are not learned.

    Args:
        metadata: of the data set.
        num_images: that have annotations, perhaps none.

    Raises:
        ConfigError: another number of classes; no masks.
        DataError: an object of a class that the model does not have.
    """
    name, classes = metadata.name, metadata.get("thing_classes")
    if classes is not None and len(classes) != num_classes:
        shown = ", ".join(classes[:_SHOWN]) + (", ..." if len(classes) > _SHOWN else "")
        raise ConfigError(
            f"data set '{name}' has {len(classes)} classes of objects ({shown}) but "
            f"MODEL.ROI_HEADS.NUM_CLASSES is {num_classes}; set it to {len(classes)}"
        )
    outside = ((objects.categories < 0) | (objects.categories >= num_classes)).nonzero()[0]
    if len(outside):
        raise DataError(
            f"data set '{name}': annotation {objects.ids[outside[0]]} has the class "
            f"{objects.categories[outside[0]]}; expected 0 to {num_classes - 1}"
        )
    if use_masks:
        _check_masks(name, objects, for_training)
    _warn_of_crowds(name, objects, num_images)


def _check_masks(name: str, objects: ObjectFacts, for_training: bool) -> None:
    if for_training and len(objects) and not objects.masked.any():
        raise ConfigError(
            f"data set '{name}' has boxes but no mask; set MODEL.MASK_ON False, or add a "
            "'segmentation' to the annotations, or set INPUT.MASKS_FROM_BOXES True to make their "
            "masks from the boxes"
        )
    lacking = (~objects.masked & ~objects.crowds).nonzero()[0].tolist()
    if lacking:
        logger.warning(
            "data set '%s': %d of %d objects have no usable mask (annotation %s). %s",
            *(name, len(lacking), len(objects), some([objects.ids[i] for i in lacking])),
            "Where masks are trained they are background; INPUT.MASKS_FROM_BOXES True makes their "
            "masks from their boxes, and MODEL.MASK_ON False trains boxes alone"
            if for_training
            else "They don't count in the figures of masks",
        )


def _warn_of_crowds(name: str, objects: ObjectFacts, num_images: int) -> None:
    if not objects.crowds.all():
        return
    reason = f"all {len(objects)} objects of its {num_images} images are crowds (iscrowd 1), which "
    reason += "are neither learned nor counted"
    if not len(objects):
        reason = f"its {num_images} images have no object"
    logger.warning("data set '%s' has nothing to learn: %s", name, reason)


def warn_of_many_objects(metadata: Metadata, objects: ObjectFacts) -> None:
    """Say where more objects of a class are in an image than COCO's figures count."""
    found = many_objects(objects)
    if not found:
        return
    count, _, category = found[0]
    classes = metadata.get("thing_classes")
    logger.warning(
        "data set '%s': %d images have more than %d objects of a class, one of them %d of %s. "
        "COCO's figures count the %d best detections of an image and class, so AP and AR can't "
        "reach 100",
        *(metadata.name, len(found), MAX_DETECTIONS, count),
        *(classes[category] if classes else f"class {category}", MAX_DETECTIONS),
    )


def many_objects(objects: ObjectFacts) -> list[tuple[int, int, int]]:
    """Where more objects of a class are in an image than COCO's figures count: how many there are,
    the image and the class, the most first."""
    learned = ~objects.crowds
    pairs = np.stack([objects.images[learned], objects.categories[learned]], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [
        (int(counts[i]), int(found[i, 0]), int(found[i, 1]))
        for i in order
        if counts[i] > MAX_DETECTIONS
    ]


def check_records_annotations(name: str, records: Sequence[dict[str, Any]]) -> None:
    """Check boxes and masks of a Python function's records, which training takes as they are.

    Raises:
        DataError: boxes that are none, or whose ``bbox_mode`` is none or contradicts them; masks
            and values of ``iscrowd`` that can't be used. The message names files and annotations.
    """
    found = list(read_in_parallel(_examine_record, records))
    raise_faults(name, [first for first, _ in found], "images have boxes or masks that")
    faults = Faults()
    for _, of_record in found:
        for fault, annotation in of_record:
            faults.add(fault, annotation)
    faults.report(f"data set '{name}'", sum(len(record["annotations"]) for record in records))


def _examine_record(record: dict[str, Any]) -> tuple[str | None, list[tuple[Fault, str]]]:
    """What makes a record unusable, or None; and the faults that training passes over."""
    passed: list[tuple[Fault, str]] = []
    try:
        size = record_size(record)
    except (OSError, ValueError) as e:  # of the image file, which they name
        return str(e), passed
    for number, annotation in enumerate(record["annotations"]):
        name = f"{record['file_name']}: {annotation_name(annotation, number)}"
        try:
            bbox = as_coco_box(annotation, size)
        except DataError as e:
            return f"{name}: {e}", passed
        if bbox[2] < 0 or bbox[3] < 0:
            return (
                f"{name}: bbox {list(annotation['bbox'])} has a negative size as "
                f"{box_mode(annotation).name}; set its bbox_mode to what it is"
            ), passed
        faults = FoundFaults()
        clean_annotation({**annotation, "bbox": bbox}, *size, faults)
        for fault, detail in faults.found:
            if stops_training(fault):
                return f"{name}: {fault.text}{': ' * bool(detail)}{detail}", passed
            passed.append((fault, f"{annotation.get('id', number)} of {record['file_name']}"))
    return None, passed


def stops_training(fault: Fault) -> bool:
    """Whether training would stop at it, or take it for something else."""
    is_of_mask = fault.outcome is Outcome.MASK_LEFT_OUT and fault.kind != "polygon-outside"
    return is_of_mask or fault.outcome is Outcome.REFUSED or fault is VALUE_TYPE


class FoundFaults:
    """Takes the faults of one annotation.

    Attributes:
        found: fault and detail of each.
    """

    def __init__(self) -> None:
        self.found: list[tuple[Fault, str]] = []

    def add(self, fault: Fault, annotation_id: Any, detail: str = "") -> None:
        """Note a fault."""
        self.found.append((fault, detail))
