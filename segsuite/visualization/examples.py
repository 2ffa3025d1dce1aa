"""Pictures of single images for a report: the image, prediction, ground truth and errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segsuite.data.palette import default_colors
from segsuite.structures.rle import decode_masks, to_rle

from .draw import error_map, overlay
from .instances import agreement_map, draw_instances
from .prediction import Prediction

_LONG_EDGE = 480
_QUALITY = 72

Views = dict[str, np.ndarray]


def semantic_views(prediction: Prediction, target: np.ndarray) -> Views:
    """``image``, ``prediction``, ``truth`` and ``errors`` of a semantic prediction.

    Args:
        target: (H, W) integer labels at the size of the image.
    """
    metadata = prediction.metadata
    colors = metadata.get("stuff_colors") or default_colors(len(metadata.stuff_classes))
    size = _small_size(prediction.image)
    image = cv2.resize(prediction.image, size, interpolation=cv2.INTER_AREA)
    labels, truth = (
        cv2.resize(a.astype(np.int16), size, interpolation=cv2.INTER_NEAREST_EXACT)
        for a in (prediction.labels, target)
    )
    ignore = metadata.get("ignore_label", 255)
    return {
        "image": image,
        "prediction": overlay(image, labels, colors),
        "truth": overlay(image, truth, colors),
        "errors": error_map(image, labels, truth, ignore),
    }


def instance_views(prediction: Prediction, annotations: list[Mapping]) -> Views:
    """The same of instances; errors are those of all masks together.

    Args:
        annotations: of the record, as `load_coco_json` gives them.
    """
    image, names = prediction.image, prediction.metadata.thing_classes
    height, width = image.shape[:2]
    objects = [a for a in annotations if "segmentation" in a]
    rles = [to_rle(a["segmentation"], height, width) for a in objects]
    masks = decode_masks(rles, height, width).numpy()
    crowd = np.array([bool(a.get("iscrowd")) for a in objects], dtype=bool)
    boxes = np.array([a["bbox"] for a in objects], dtype=float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    texts = [names[a["category_id"]] for a in objects]
    found = prediction.mask_of_all()
    views = {
        "image": image,
        "prediction": prediction.draw(),
        "truth": draw_instances(image, boxes, masks=masks, texts=texts),
        "errors": agreement_map(image, found, masks[~crowd].any(0), masks[crowd].any(0)),
    }
    size = _small_size(image)
    return {k: cv2.resize(v, size, interpolation=cv2.INTER_AREA) for k, v in views.items()}


def save_views(folder: Path, stem: str, views: Views) -> dict[str, str]:
    """Write views as ``<stem>_<view>.webp``, and return the file name of each."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for view, picture in views.items():
        files[view] = f"{stem}_{view}.webp"
        Image.fromarray(picture).save(folder / files[view], quality=_QUALITY, method=4)
    return files


def _small_size(image: np.ndarray) -> tuple[int, int]:
    """(width, height) with a long edge of at most 480 pixels."""
    height, width = image.shape[:2]
    scale = min(1.0, _LONG_EDGE / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))
