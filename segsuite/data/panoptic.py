"""Read and write panoptic segmentations: a PNG names the segment at each pixel, and a list says
what each segment is.

https://cocodataset.org/#format-data, "Panoptic segmentation".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ImageFile, ImageOps
from pycocotools import mask as coco_mask

from segsuite.errors import DataError
from segsuite.structures import BoxMode

from .image_files import decode, open_image
from .sem_seg import IGNORE_LABEL

# The semantic class of everything that is a thing: the first, before those of stuff.
THINGS_LABEL = 0
_LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF")
_MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with an alpha channel",
    "P": "a palette",
    "RGBA": "an alpha channel",
    "I;16": "16-bit grey",
    "I": "32-bit grey",
    "F": "floating point",
}


def read_panoptic(file_name: str | os.PathLike) -> np.ndarray:
    """Read the segment of each pixel: red + 256 green + 256^2 blue; 0 is none.

    Returns:
        (H, W) int32.

    Raises:
        MissingFileError, DataError: there is no such file, it can't be read to its end, or its
            colours are no ids: it is grey, has a palette or an alpha channel, 16 bits a channel,
            or a compression that changes them.
    """
    with open_image(file_name) as image:
        fault = format_fault(image)
        if fault is not None:
            raise DataError(f"{file_name} {fault}")
        decode(image, file_name)
        return to_segment_ids(np.asarray(ImageOps.exif_transpose(image)))


def format_fault(image: ImageFile.ImageFile) -> str | None:
    """What keeps the colours of an image from being ids of segments; None: nothing does.

    Args:
        image: that `open_image` gave, not decoded yet.
    """
    if image.format in _LOSSY:
        return (
            f"is a {image.format} file, whose compression changes colours, and these are the ids "
            "of segments: write it anew as a PNG from what it was made of"
        )
    # Pillow decodes 16 bits a channel to 8, and says so only here.
    wide = image.mode == "RGB" and any(";16" in str(tile[3]) for tile in image.tile)
    mode = "RGB, 16 bits" if wide else image.mode
    if mode == "RGB":
        return None
    what = _MODES.get(mode, "")
    return (
        f"has the mode {mode}{what and f' ({what})'}; expected 8-bit RGB, whose colour is the id "
        "of a segment: red + 256 green + 65536 blue (segsuite.data.panoptic.write_panoptic writes "
        "it)"
    )


def to_segment_ids(pixels: np.ndarray) -> np.ndarray:
    """The (H, W) int32 ids of segments that the colours of (H, W, 3) uint8 RGB stand for."""
    red, green, blue = pixels.astype(np.int32).transpose(2, 0, 1)
    return red | green << 8 | blue << 16


def panoptic_to_sem_seg(
    segments: np.ndarray, segments_info: Sequence[dict[str, Any]]
) -> np.ndarray:
    """Semantic labels of a panoptic segmentation, as Panoptic FPN's semantic branch learns them.

    Args:
        segments: (H, W) int32, see `read_panoptic`.
        segments_info: ``id``, ``isthing`` and ``category_id``, the class, of each segment.

    Returns:
        (H, W) uint8: the class of stuff, `THINGS_LABEL` where there are things, `IGNORE_LABEL`
        where there is no segment or one that `segments_info` does not have.
    """
    known = sorted(
        (info["id"], THINGS_LABEL if info["isthing"] else info["category_id"])
        for info in segments_info
    )
    ids = np.array([id_ for id_, _ in known], dtype=np.int32)
    labels = np.array([*(label for _, label in known), IGNORE_LABEL], dtype=np.uint8)
    place = np.searchsorted(ids, segments)
    is_known = np.append(ids, -1)[place] == segments
    return labels[np.where(is_known, place, len(ids))]


def panoptic_to_annotations(
    segments: np.ndarray, segments_info: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The things of a panoptic segmentation as annotations, in the form of `load_coco_json`."""
    annotations = []
    for info in segments_info:
        mask = segments == info["id"] if info["isthing"] else None
        if mask is None or not mask.any():
            continue
        rle = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
        annotations.append(
            {
                "id": info["id"],
                "iscrowd": info.get("iscrowd", 0),
                "bbox": coco_mask.toBbox(rle).tolist(),
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": info["category_id"],
                "segmentation": rle,
            }
        )
    return annotations


def write_panoptic(file_name: str | os.PathLike, segments: np.ndarray) -> None:
    """Write the segment of each pixel as a PNG that `read_panoptic` and COCO's tools read.

    Args:
        segments: (H, W) integers in [0, 256^3).
    """
    channels = [segments >> shift & 255 for shift in (16, 8, 0)]  # blue, green, red
    _, data = cv2.imencode(".png", np.stack(channels, axis=-1).astype(np.uint8))
    Path(file_name).write_bytes(data.tobytes())
