"""The check before training: find what would stop it or spoil it, as fast as it can be found."""

from __future__ import annotations

import functools
import logging
from typing import Any

import numpy as np

from segsuite.config import CfgNode
from segsuite.errors import ConfigError, DataError, UserError
from segsuite.structures import num_labels
from segsuite.utils import comm

from ..build import Records, get_records
from ..catalog import Metadata, MetadataCatalog
from ..classes import align_classes
from ..image import ImageReader
from ..image_files import check_complete
from ..mapper import check_recorded_size, size_mismatch
from ..records import have_annotations, select_records
from ..sem_seg import count_values, no_data_note, read_sem_seg
from .amounts import LabelAmounts, check_classes_labelled, check_something_labelled
from .files import faults_of_files, raise_faults, results_of_files
from .instances import (
    ObjectFacts,
    check_objects,
    check_records_annotations,
    warn_of_many_objects,
)
from .panoptic import segments_fault

logger = logging.getLogger(__name__)

_SHOWN = 5
_RGB = 3

# Evaluators of data sets whose objects may be those of a file.
_OF_FILES = ("coco", "lvis")


def check_datasets(cfg: CfgNode) -> None:
    """Check every data set of DATASETS.TRAIN and DATASETS.TEST.

    See `check_semantic_dataset` and `check_instance_dataset`; a data set may be both. Their classes
    are compared by name, see `align_classes`. The main process reads images; an error is raised in
    all of them.
    """
    align_classes(list(dict.fromkeys((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))))
    error = None
    if comm.is_main_process():
        try:
            head, reader = cfg.MODEL.SEM_SEG_HEAD, ImageReader(cfg)
            of_training = LabelAmounts()
            for name in dict.fromkeys((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)):
                is_train = name in cfg.DATASETS.TRAIN
                amounts = check_semantic_dataset(
                    name,
                    num_classes=head.NUM_CLASSES,
                    ignore_label=head.IGNORE_VALUE,
                    read_labels=cfg.DATALOADER.CHECK_LABELS,
                    anew=cfg.DATALOADER.CHECK_ANEW,
                    for_training=is_train,
                    reader=reader,
                )
                if is_train:
                    of_training += amounts
                else:
                    check_classes_labelled(amounts, [name], head.NUM_CLASSES, for_training=False)
                check_instance_dataset(
                    name,
                    num_classes=cfg.MODEL.ROI_HEADS.NUM_CLASSES,
                    use_masks=cfg.MODEL.MASK_ON and not (is_train and cfg.INPUT.MASKS_FROM_BOXES),
                    read_images=cfg.DATALOADER.CHECK_LABELS,
                    anew=cfg.DATALOADER.CHECK_ANEW,
                    for_training=is_train,
                    reader=reader,
                )
            names = list(dict.fromkeys(cfg.DATASETS.TRAIN))
            check_classes_labelled(of_training, names, head.NUM_CLASSES, for_training=True)
        except UserError as e:
            error = e
    error = comm.broadcast_object(error)
    if error is not None:
        raise error


def check_semantic_dataset(
    name: str,
    *,
    num_classes: int,
    ignore_label: int,
    read_labels: bool = True,
    anew: bool = False,
    for_training: bool = True,
    reader: ImageReader | None = None,
) -> LabelAmounts:
    """Check a data set against the model that is to learn it.

    Args:
        num_classes: classes of the model, MODEL.SEM_SEG_HEAD.NUM_CLASSES.
        ignore_label: label that the loss leaves out, MODEL.SEM_SEG_HEAD.IGNORE_VALUE.
        read_labels: also read every label map, and the header and the end of every image.
        anew: also those that have been checked before and are unchanged, which are passed over
            otherwise, with a line in the log.
        for_training: that there is no labelled pixel is an error, not a warning.
        reader: that the model gets its images from; None: one for a model of three channels.

    Returns:
        What the label maps hold; nothing where they were not read.

    Raises:
        UnknownNameError: an unknown data set.
        MissingFileError: missing or empty folders.
        ConfigError: another number of classes.
        DataError: images without labels or the reverse; label maps of the wrong size, format or
            values; images that are cut short. The message names the files. Or no pixel is labelled.
    """
    amounts = LabelAmounts()
    metadata = MetadataCatalog.get(name)
    records = get_records(name)
    reader = reader or ImageReader(channels=_RGB)
    _check_classes(metadata, num_classes, ignore_label)
    if not read_labels:
        reader.check(records[0]["file_name"])
        return amounts
    labelled = [record for record in records if "sem_seg_file_name" in record]
    labels = num_labels(num_classes)
    examine = functools.partial(
        _examine_labels,
        num_classes=labels,
        ignore_label=ignore_label,
        reading=reader.settings,
    )
    kind = "images and their label maps"
    examined = results_of_files(name, examine, labelled, kind, anew, lambda result: not result[0])
    raise_faults(name, [fault for fault, _ in examined], "images or their label maps")
    for record, (_, pixels) in zip(labelled, examined, strict=True):
        amounts.add(record["sem_seg_file_name"], dict(pixels), ignore_label)
    check_something_labelled(
        amounts, metadata, num_classes, ignore_label, for_training=for_training
    )
    return amounts


def check_instance_dataset(
    name: str,
    *,
    num_classes: int,
    use_masks: bool = True,
    read_images: bool = True,
    anew: bool = False,
    for_training: bool = True,
    reader: ImageReader | None = None,
) -> None:
    """Check the annotations of a data set, if it has any, against the model that is to learn it.

    Args:
        num_classes: classes of the model, MODEL.ROI_HEADS.NUM_CLASSES.
        use_masks: whether objects need masks: MODEL.MASK_ON without INPUT.MASKS_FROM_BOXES.
        read_images: also read the header and the end of every image, and every panoptic PNG.
        anew: see `check_semantic_dataset`.
        for_training: whether it is trained on, and not evaluated alone: it must have annotations.
        reader: see `check_semantic_dataset`.

    Raises:
        UnknownNameError: an unknown data set.
        MissingFileError: a missing file of annotations.
        ConfigError: another number of classes; no masks.
        DataError: faults of that file, see `load_coco_json` and `load_coco_panoptic`; a panoptic
            PNG whose colours are no ids, or are not those that the file lists; boxes of a
            function's records whose ``bbox_mode`` is none, or that contradict it; images that are
            missing, or of another size than the annotations are for, perhaps because their EXIF
            orientation turns them.
            The message names the files.
    """
    metadata = MetadataCatalog.get(name)
    records = get_records(name)
    annotated = _annotated(records)
    if not len(annotated):
        _say_not_annotated(metadata, len(records), for_training)
        return
    is_file = metadata.get("evaluator_type") in _OF_FILES and metadata.get("json_file") is not None
    objects = ObjectFacts.of_file(metadata) if is_file else ObjectFacts.of_records(annotated)
    check_objects(
        metadata,
        objects,
        len(annotated),
        num_classes=num_classes,
        use_masks=use_masks,
        for_training=for_training,
    )
    warn_of_many_objects(metadata, objects)
    if metadata.get("json_file") is None:  # those of a file are checked as it is read
        check_records_annotations(name, [r for r in annotated if r.get("annotations")])
    if read_images:
        reader = reader or ImageReader(channels=_RGB)
        find = functools.partial(_find_image_fault, reading=reader.settings)
        raise_faults(name, faults_of_files(name, find, annotated, "images", anew), "images")


def _annotated(records: Records) -> Records:
    """The records with objects or segments, also with an empty list of them."""
    wanted = have_annotations(records)
    if not wanted.all():
        wanted |= np.fromiter(("segments_info" in record for record in records), bool)
    return select_records(records, np.flatnonzero(wanted))


def _say_not_annotated(metadata: Metadata, num_images: int, for_training: bool) -> None:
    """Of a data set in COCO's format whose file has no annotations."""
    if metadata.get("evaluator_type") not in _OF_FILES:
        return
    source = metadata.get("json_file") or f"data set '{metadata.name}'"
    if for_training:
        raise DataError(
            f"{source} has no 'annotations', so data set '{metadata.name}' has nothing to learn; "
            "name the file that has them, or use it in DATASETS.TEST alone"
        )
    logger.warning(
        "data set '%s': %s has no 'annotations': results of its %d images are written, and no "
        "figures",
        *(metadata.name, source, num_images),
    )


def _find_image_fault(record: dict, reading: dict[str, Any]) -> str | None:
    """What is wrong with the image of a record, or None."""
    try:
        size = ImageReader(**reading).check(record["file_name"]).size
        check_complete(record["file_name"])
        check_recorded_size(record, size)
        if "pan_seg_file_name" in record:
            return segments_fault(record, size)
    except (OSError, DataError) as e:
        return str(e)
    return None


def _check_classes(metadata: Metadata, num_classes: int, ignore_label: int) -> None:
    classes = metadata.get("stuff_classes")
    if classes is not None and len(metadata.semantic_labels()) != num_labels(num_classes):
        raise ConfigError(
            f"data set '{metadata.name}' has {len(classes)} classes ({', '.join(classes)}) but "
            f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {num_classes}; set it to {len(classes)}"
        )
    ignored = metadata.get("ignore_label", ignore_label)
    if ignored != ignore_label:
        raise ConfigError(
            f"data set '{metadata.name}' marks pixels to leave out with {ignored} but "
            f"MODEL.SEM_SEG_HEAD.IGNORE_VALUE is {ignore_label}; set it to {ignored}, or register "
            f"the data set with a label_map that takes {ignored} to {ignore_label}"
        )


def _examine_labels(
    record: dict, num_classes: int, ignore_label: int, reading: dict[str, Any]
) -> tuple[str | None, list[tuple[int, int]]]:
    """What is wrong with the label map of a record, or None, and each label with its pixels."""
    image, labels = record["file_name"], record["sem_seg_file_name"]
    try:
        image_size = ImageReader(**reading).check(image).size
        check_complete(image)
        pixels = read_sem_seg(labels, record.get("label_map"))
    except (OSError, DataError) as e:
        return str(e), []
    if image_size != pixels.shape:
        return size_mismatch(image, image_size, labels, pixels.shape), []
    values, counts = count_values(pixels)
    amounts = list(zip(values.tolist(), counts.tolist(), strict=True))
    outside = ((values < 0) | (values >= num_classes)) & (values != ignore_label)
    if not outside.any():
        return None, amounts
    found = ", ".join(
        f"{value} ({count} pixels)"
        for value, count in zip(values[outside][:_SHOWN], counts[outside], strict=False)
    )
    found += no_data_note(labels, values[outside].tolist())
    fault = (
        f"{labels} holds the label {found}; expected 0 to {num_classes - 1}, or {ignore_label} for "
        f"pixels to leave out. {_advice(pixels, int(outside.sum()))}"
    )
    return fault, amounts


def _advice(labels: np.ndarray, num_outside: int) -> str:
    if num_outside > _SHOWN and labels.dtype == np.uint8:
        return "So many values look like a grey picture: are these the label maps?"
    return (
        "Register the data set with a label_map that takes each stored value to a class or to the "
        "ignore label, or raise MODEL.SEM_SEG_HEAD.NUM_CLASSES if they are classes"
    )
