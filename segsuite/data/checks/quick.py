"""The check before training: find what would stop it or spoil it, as fast as it can be found."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

from segsuite.config import CfgNode
from segsuite.errors import ConfigError, DataError, UserError
from segsuite.utils import comm

from ..boxes import annotation_name, as_coco_box, box_mode, record_size
from ..build import get_records
from ..cache import read_in_parallel, remember
from ..catalog import Metadata, MetadataCatalog
from ..image import read_image_size
from ..image_files import check_complete, open_image
from ..mapper import check_recorded_size, size_mismatch
from ..sem_seg import count_values, read_sem_seg
from .panoptic import segments_fault

logger = logging.getLogger(__name__)

_SHOWN = 5
# Of what `_find_fault` and `_find_image_fault` look for: a change forgets what has been checked.
_VERSION = 1


def check_datasets(cfg: CfgNode) -> None:
    """Check every data set of DATASETS.TRAIN and DATASETS.TEST.

    See `check_semantic_dataset` and `check_instance_dataset`; a data set may be both. The main
    process reads; an error is raised in all of them.
    """
    error = None
    if comm.is_main_process():
        try:
            for name in dict.fromkeys((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)):
                check_semantic_dataset(
                    name,
                    num_classes=cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
                    ignore_label=cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
                    read_labels=cfg.DATALOADER.CHECK_LABELS,
                    anew=cfg.DATALOADER.CHECK_ANEW,
                )
                check_instance_dataset(
                    name,
                    num_classes=cfg.MODEL.ROI_HEADS.NUM_CLASSES,
                    use_masks=cfg.MODEL.MASK_ON,
                    read_images=cfg.DATALOADER.CHECK_LABELS,
                    anew=cfg.DATALOADER.CHECK_ANEW,
                )
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
) -> None:
    """Check a data set against the model that is to learn it.

    Args:
        num_classes: classes of the model, MODEL.SEM_SEG_HEAD.NUM_CLASSES.
        ignore_label: label that the loss leaves out, MODEL.SEM_SEG_HEAD.IGNORE_VALUE.
        read_labels: also read every label map, and the header and the end of every image.
        anew: also those that have been checked before and are unchanged, which are passed over
            otherwise, with a line in the log.

    Raises:
        UnknownNameError: an unknown data set.
        MissingFileError: missing or empty folders.
        ConfigError: another number of classes.
        DataError: images without labels or the reverse; label maps of the wrong size, format or
            values; images that are cut short. The message names the files.
    """
    metadata = MetadataCatalog.get(name)
    records = get_records(name)
    _check_classes(metadata, num_classes, ignore_label)
    if not read_labels:
        return
    labelled = [record for record in records if "sem_seg_file_name" in record]
    find = functools.partial(_find_fault, num_classes=num_classes, ignore_label=ignore_label)
    faults = _faults_of_files(name, find, labelled, "images and their label maps", anew)
    _raise_faults(name, faults, "images or their label maps")


def check_instance_dataset(
    name: str,
    *,
    num_classes: int,
    use_masks: bool = True,
    read_images: bool = True,
    anew: bool = False,
) -> None:
    """Check the annotations of a data set, if it has any, against the model that is to learn it.

    Args:
        num_classes: classes of the model, MODEL.ROI_HEADS.NUM_CLASSES.
        use_masks: whether the model predicts masks, MODEL.MASK_ON.
        read_images: also read the header and the end of every image, and every panoptic PNG.
        anew: see `check_semantic_dataset`.

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
    records = [r for r in get_records(name) if "annotations" in r or "segments_info" in r]
    if not records:
        return
    metadata = MetadataCatalog.get(name)
    classes = metadata.get("thing_classes")
    if classes is not None and len(classes) != num_classes:
        shown = ", ".join(classes[:_SHOWN]) + (", ..." if len(classes) > _SHOWN else "")
        raise ConfigError(
            f"data set '{name}' has {len(classes)} classes of objects ({shown}) but "
            f"MODEL.ROI_HEADS.NUM_CLASSES is {num_classes}; set it to {len(classes)}"
        )
    objects = [annotation for record in records for annotation in record.get("annotations", ())]
    outside = [a for a in objects if not 0 <= a["category_id"] < num_classes]
    if outside:
        raise DataError(
            f"data set '{name}': annotation {outside[0].get('id')} has the class "
            f"{outside[0]['category_id']}; expected 0 to {num_classes - 1}"
        )
    if use_masks and objects and not any(a.get("segmentation") for a in objects):
        raise ConfigError(
            f"data set '{name}' has boxes but no mask; set MODEL.MASK_ON False, or add a "
            "'segmentation' to the annotations"
        )
    if objects and metadata.get("json_file") is None:  # those of a file are checked as it is read
        of_objects = [record for record in records if record.get("annotations")]
        faults = list(read_in_parallel(_find_box_fault, of_objects))
        _raise_faults(name, faults, "images have boxes that")
    if read_images:
        find = functools.partial(_find_image_fault)
        _raise_faults(name, _faults_of_files(name, find, records, "images", anew), "images")


def _find_box_fault(record: dict) -> str | None:
    """What is wrong with the first box of a record that can't be used, or None."""
    try:
        size = record_size(record)
    except (OSError, ValueError) as e:  # of the image file, which they name
        return str(e)
    for number, annotation in enumerate(record["annotations"]):
        name = f"{record['file_name']}: {annotation_name(annotation, number)}"
        try:
            *_, width, height = as_coco_box(annotation, size)
        except DataError as e:
            return f"{name}: {e}"
        if width < 0 or height < 0:
            return (
                f"{name}: bbox {list(annotation['bbox'])} has a negative size as "
                f"{box_mode(annotation).name}; set its bbox_mode to what it is"
            )
    return None


def _find_image_fault(record: dict) -> str | None:
    """What is wrong with the image of a record, or None."""
    try:
        size = read_image_size(record["file_name"])
        check_complete(record["file_name"])
        check_recorded_size(record, size)
        if "pan_seg_file_name" in record:
            return segments_fault(record, size)
    except (OSError, DataError) as e:
        return str(e)
    return None


def _faults_of_files(
    name: str,
    find: functools.partial[str | None],
    records: Sequence[dict],
    kind: str,
    anew: bool,
) -> list[str | None]:
    """What `find` says about each record, whose files are not read again while they are as they
    were when nothing was wrong with them."""
    checked = remember(
        find, records, of=name, version=_VERSION, keep=lambda fault: fault is None, anew=anew
    )
    if checked.num_old:
        logger.info(
            "data set '%s': %d of %d %s were checked on %s and are unchanged: not read again "
            "(DATALOADER.CHECK_ANEW True reads them)",
            *(name, checked.num_old, len(records), kind, checked.when()),
        )
    return checked.results


def _raise_faults(name: str, faults: Sequence[str | None], kind: str) -> None:
    """Raise an error with the first of the faults that there are.

    Args:
        faults: of each record, None where nothing is wrong.
    """
    found = [fault for fault in faults if fault]
    if found:
        more = f"\n... and {len(found) - _SHOWN} more files" if len(found) > _SHOWN else ""
        raise DataError(
            f"data set '{name}': {len(found)} of {len(faults)} {kind} can't be used:\n"
            + "\n".join(found[:_SHOWN])
            + more
        )


def _check_classes(metadata: Metadata, num_classes: int, ignore_label: int) -> None:
    classes = metadata.get("stuff_classes")
    if classes is not None and len(classes) != num_classes:
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


def _find_fault(record: dict, num_classes: int, ignore_label: int) -> str | None:
    """What is wrong with the label map of a record, or None."""
    image, labels = record["file_name"], record["sem_seg_file_name"]
    try:
        image_size = read_image_size(image)
        check_complete(image)
        pixels = read_sem_seg(labels, record.get("label_map"))
    except (OSError, DataError) as e:
        return str(e)
    if image_size != pixels.shape:
        return size_mismatch(image, image_size, labels, pixels.shape)
    values, counts = count_values(pixels)
    outside = ((values < 0) | (values >= num_classes)) & (values != ignore_label)
    if not outside.any():
        return None
    found = ", ".join(
        f"{value} ({count} pixels)"
        for value, count in zip(values[outside][:_SHOWN], counts[outside], strict=False)
    )
    return (
        f"{labels} holds the label {found}; expected 0 to {num_classes - 1}, or {ignore_label} for "
        f"pixels to leave out. {_advice(labels, int(outside.sum()))}"
    )


def _advice(labels: str, num_outside: int) -> str:
    if num_outside > _SHOWN:
        with open_image(labels) as image:
            is_photo_like = image.mode == "L"
        if is_photo_like:
            return "So many values look like a grey picture: are these the label maps?"
    return (
        "Register the data set with a label_map that takes each stored value to a class or to the "
        "ignore label, or raise MODEL.SEM_SEG_HEAD.NUM_CLASSES if they are classes"
    )
