"""A fixed copy of a data set: what can be put right without guessing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from segsuite.errors import DataError, FileAccessError

from ..catalog import Metadata, MetadataCatalog
from ..image import read_image
from ..image_files import read_stored
from ..label_files import read_stored_labels
from ..palette import rgb
from ..prepare.write import write_coco
from ..sem_seg import colors_to_labels
from .coco import CocoFile
from .doctor import list_records
from .fix_coco import fix_coco
from .fix_panoptic import fix_panoptic
from .images import UNUSABLE, ImageFacts, examine_image
from .panoptic import PanopticFile
from .report import Report
from .semantic import LabelFacts, examine_label_map


def write_fixed_copy(name: str, output: str | os.PathLike) -> list[str]:
    """Write a copy of a data set with those faults fixed that have one right answer.

    Left out: images that can't be read, images or label maps that are alone, files that occur
    twice. Fixed: colours that are those of the classes, the value of ignored pixels, masks of 0 and
    255 for two classes, pictures that EXIF turns; for COCO's formats see `fix_coco` and
    `fix_panoptic`. All else is copied as it is.

    Args:
        name: a registered data set.
        output: a new folder. Label maps: ``images`` and ``labels``; COCO's formats, and objects
            in others: ``annotations.json`` and ``panoptic.json``, for the images where they are.

    Returns:
        What was done, a line for each change.

    Raises:
        FileAccessError: `output` has something in it.
    """
    output = Path(output)
    if output.is_dir() and any(output.iterdir()):
        raise FileAccessError(f"{output} is not empty; name a new folder for the fixed copy")
    output.mkdir(parents=True, exist_ok=True)
    metadata = MetadataCatalog.get(name)
    json_file, panoptic_json = (metadata.get(k) for k in ("json_file", "panoptic_json"))
    changes = []
    if json_file is not None:
        changes += fix_coco(CocoFile(json_file, metadata.image_root), output)
    if panoptic_json is not None:
        changes += fix_panoptic(
            PanopticFile(metadata.panoptic_json, metadata.image_root, metadata.panoptic_root),
            output,
        )
    if json_file is not None or panoptic_json is not None:
        return changes
    if any("sem_seg_file_name" in record for record in list_records(name, Report())[:1]):
        return _fix_label_maps(name, metadata, output)
    return _fix_records(name, output)


def _fix_records(name: str, output: Path) -> list[str]:
    """The objects of a data set in any other format, as a file of COCO's."""
    with tempfile.TemporaryDirectory() as folder:
        file, image_root = write_coco(name, folder)
        changes = fix_coco(CocoFile(str(file), str(image_root)), output)
    return [f"written in COCO's format; images start from {image_root}", *changes]


def _fix_label_maps(name: str, metadata: Metadata, output: Path) -> list[str]:
    alone = Report()
    changes = []
    seen: dict[bytes, str] = {}
    records = list_records(name, alone)
    for kind in ("image-without-labels", "labels-without-image"):
        changes += [f"left out {file_name}: alone" for file_name in alone.found(kind)]
    for record in records:
        image = examine_image(record["file_name"])
        labels = examine_label_map(
            record["sem_seg_file_name"],
            metadata.get("label_map"),
            len(metadata.semantic_labels()),
            metadata.ignore_label,
        )
        fixed, how = _fixed_labels(labels, metadata)
        reason = next((kind for kind, _ in image.faults if kind in UNUSABLE), None)
        if reason is None:
            if fixed is None:
                reason = labels.faults[0][0]
            elif fixed.shape != image.size:
                reason = "size-mismatch"
        if reason is None and image.digest in seen:
            reason = f"the same as {seen[image.digest]}"
        if reason is not None:
            changes.append(f"left out {image.file_name}: {reason}")
            continue
        seen[image.digest] = image.file_name
        if how:
            changes.append(f"fixed {labels.file_name}: {how}")
        changes += _copy_pair(
            str(record["image_id"]), image, labels, fixed if how else None, output
        )
    return changes


def _copy_pair(
    stem: str, image: ImageFacts, labels: LabelFacts, fixed: np.ndarray | None, output: Path
) -> list[str]:
    """Write an image and its label map under the same name; `fixed` stands for the file's."""
    image_file = output / "images" / (stem + Path(image.file_name).suffix)
    label_file = output / "labels" / (stem + Path(labels.file_name).suffix)
    image_file.parent.mkdir(parents=True, exist_ok=True)
    label_file.parent.mkdir(parents=True, exist_ok=True)
    if fixed is None:
        shutil.copyfile(labels.file_name, label_file)
    else:
        _save_labels(fixed, label_file)
    if any(kind == "exif-rotation" for kind, _ in image.faults):
        pixels, header = read_stored(image.file_name)
        if header.mode or (header.format == "JPEG"):
            with Image.open(image.file_name) as opened:
                ImageOps.exif_transpose(opened).save(image_file.with_suffix(".png"))
            return [f"fixed {image.file_name}: turned upright, as PNG"]
        np.save(image_file.with_suffix(".npy"), pixels)  # of more bits or bands than Pillow has
        return [f"fixed {image.file_name}: turned upright, as an array of NumPy"]
    shutil.copyfile(image.file_name, image_file)
    return []


def _save_labels(labels: np.ndarray, file: Path) -> None:
    """As a PNG, or as a TIFF where the values are too many for it."""
    low, high = int(labels.min()), int(labels.max())
    if low >= 0 and high < 2**16:
        dtype = np.uint8 if high < 2**8 else np.uint16
        Image.fromarray(labels.astype(dtype)).save(file.with_suffix(".png"))
    else:
        Image.fromarray(labels.astype(np.int32)).save(file.with_suffix(".tif"))


def _fixed_labels(facts: LabelFacts, metadata: Metadata) -> tuple[np.ndarray | None, str]:
    """The stored values as they should be, and what was done; None where nothing can be done."""
    label_map = metadata.get("label_map") or {}
    stored_as = {label: value for value, label in reversed(label_map.items())}
    kinds = {kind for kind, _, _ in facts.faults}
    if kinds & {"labels-unreadable", "labels-lossy", "labels-float"}:
        return None, ""
    if "labels-rgb" in kinds:
        return _from_colors(facts.file_name, metadata, stored_as)
    pixels = read_stored_labels(facts.file_name)
    if "binary-mask" in kinds and len(metadata.semantic_labels()) == 2 and not label_map:
        return (pixels > 0).astype(np.uint8), "255 is class 1"
    if "ignore-value" in kinds:
        ignored = stored_as.get(metadata.ignore_label, metadata.ignore_label)
        labels = range(len(metadata.semantic_labels()))
        allowed = [*label_map] or [*labels, metadata.ignore_label]
        return np.where(np.isin(pixels, allowed), pixels, ignored).astype(
            pixels.dtype
        ), f"ignored pixels are stored as {ignored}"
    return pixels, ""


def _from_colors(
    file_name: str, metadata: Metadata, stored_as: Mapping[int, int]
) -> tuple[np.ndarray | None, str]:
    try:
        pixels = read_image(file_name)
        if (pixels == pixels[..., :1]).all():
            return np.ascontiguousarray(pixels[..., 0]), "three equal channels made one"
        colors = {
            rgb(color): stored_as.get(i, i) for i, color in enumerate(metadata.semantic_colors())
        }
        return colors_to_labels(pixels, colors), "the colours of the classes made class ids"
    except (OSError, DataError):
        return None, ""
