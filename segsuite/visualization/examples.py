"""Pictures of single images for a report: the image, prediction, ground truth and errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from segsuite.data.boxes import corner_boxes, has_mask
from segsuite.data.palette import default_colors
from segsuite.structures import SegmentationMasks, masks_union

from .draw import overlay
from .errors import error_map, mask_error_map, panoptic_labels
from .instances import draw_instances
from .panoptic import draw_panoptic
from .prediction import Prediction, required

_LONG_EDGE = 480
_QUALITY, _CLASS_ERRORS_QUALITY = 72, 45


@dataclass
class Pictures:
    """What is shown of an image, all of one size.

    Attributes:
        views: ``image``, ``prediction``, ``truth`` and ``errors``, those of all classes.
        class_errors: the errors of single classes by their names.
    """

    views: dict[str, np.ndarray]
    class_errors: dict[str, np.ndarray]


def semantic_pictures(
    prediction: Prediction, target: np.ndarray, classes: Sequence[str]
) -> Pictures:
    """Pictures of a semantic prediction.

    Args:
        target: (H, W) integer labels at the size of the image.
        classes: names of those whose errors are shown one by one.
    """
    metadata = prediction.metadata
    names, colors = metadata.semantic_labels(), metadata.semantic_colors()
    size = _small_size(prediction.image)
    image = cv2.resize(prediction.image, size, interpolation=cv2.INTER_AREA)
    labels, truth = (
        cv2.resize(a.astype(np.int16), size, interpolation=cv2.INTER_NEAREST_EXACT)
        for a in (required(prediction.labels, "label map"), target)
    )
    views = {
        "image": image,
        "prediction": overlay(image, labels, colors),
        "truth": overlay(image, truth, colors),
    }
    ignored = metadata.get("ignore_label", 255)
    ids = {name: i for i, name in enumerate(names) if name in classes}
    return _with_label_errors(views, image, labels, truth, ignored, ids)


def instance_pictures(
    prediction: Prediction, annotations: Sequence[Mapping[str, Any]], classes: Sequence[str]
) -> Pictures:
    """Pictures of instances; errors are those of the masks of each class together.

    Args:
        annotations: of the record, as `load_coco_json` gives them.
        classes: names of those that are labelled or predicted.
    """
    image, names = prediction.image, prediction.metadata.thing_classes
    height, width = image.shape[:2]
    objects = [a for a in annotations if has_mask(a)]
    masks = SegmentationMasks([a["segmentation"] for a in objects], (height, width))
    crowd = np.array([bool(a.get("iscrowd")) for a in objects], dtype=bool)
    boxes = corner_boxes(objects, (height, width))
    true_classes = np.array([a["category_id"] for a in objects], dtype=int)

    def pairs(of: Iterable[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for k in of:
            yield prediction.mask_of_class(k), pixels_of((true_classes == k) & ~crowd)

    def pixels_of(chosen: np.ndarray) -> np.ndarray:
        return masks_union(masks, np.flatnonzero(chosen).tolist()).numpy()

    ignored = pixels_of(crowd)
    texts = [names[k] for k in true_classes]
    views = {
        "image": image,
        "prediction": prediction.draw(),
        "truth": draw_instances(image, boxes, masks=masks, texts=texts),
        "errors": mask_error_map(image, pairs(map(names.index, classes)), ignored),
    }
    errors = {n: mask_error_map(image, pairs([names.index(n)]), ignored) for n in classes}
    return _shrunk(Pictures(views, errors))


def panoptic_pictures(
    prediction: Prediction,
    segmentation: np.ndarray,
    segments: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
) -> Pictures:
    """Pictures of a panoptic prediction; errors are those of classes, whichever the segment.

    Args:
        segmentation: (H, W) integers, the true id of each pixel's segment, 0 for none.
        segments: of the record, as `load_coco_panoptic` gives them.
        classes: names of those whose errors are shown one by one.
    """
    metadata, image = prediction.metadata, prediction.image
    things, stuff = metadata.thing_classes, metadata.stuff_classes
    views = {
        "image": image,
        "prediction": prediction.draw(),
        "truth": draw_panoptic(
            image,
            segmentation,
            segments,
            thing_names=things,
            stuff_names=stuff,
            stuff_colors=metadata.get("stuff_colors") or default_colors(len(stuff)),
        ),
    }
    found, found_segments = required(prediction.panoptic, "panoptic segmentation")
    labels = panoptic_labels(found, found_segments, len(things))
    truth = panoptic_labels(segmentation, segments, len(things))
    ids = {name: i for i, name in enumerate([*things, *stuff]) if name in classes}
    return _shrunk(_with_label_errors(views, image, labels, truth, -1, ids))


def save_pictures(folder: Path, stem: str, pictures: Pictures) -> dict[str, dict[str, str]]:
    """Write ``<stem>_<view>.webp`` and ``<stem>_errors_<n>.webp``.

    Returns:
        The names of the files: ``views`` and ``class_errors``, by the keys of `pictures`.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def save(name: str, picture: np.ndarray, quality: int = _QUALITY) -> str:
        file = f"{stem}_{name}.webp"
        Image.fromarray(picture).save(folder / file, quality=quality, method=4)
        return file

    return {
        "views": {view: save(view, picture) for view, picture in pictures.views.items()},
        "class_errors": {
            name: save(f"errors_{i}", picture, _CLASS_ERRORS_QUALITY)
            for i, (name, picture) in enumerate(pictures.class_errors.items())
        },
    }


def _with_label_errors(
    views: dict[str, np.ndarray],
    image: np.ndarray,
    labels: np.ndarray,
    truth: np.ndarray,
    ignored: int,
    ids: Mapping[str, int],
) -> Pictures:
    views = {**views, "errors": error_map(image, labels, truth, ignored)}
    of_class = {name: error_map(image, labels, truth, ignored, i) for name, i in ids.items()}
    return Pictures(views, of_class)


def _shrunk(pictures: Pictures) -> Pictures:
    size = _small_size(pictures.views["image"])

    def shrink(group: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {k: cv2.resize(v, size, interpolation=cv2.INTER_AREA) for k, v in group.items()}

    return Pictures(shrink(pictures.views), shrink(pictures.class_errors))


def _small_size(image: np.ndarray) -> tuple[int, int]:
    """(width, height) with a long edge of at most 480 pixels."""
    height, width = image.shape[:2]
    scale = min(1.0, _LONG_EDGE / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))
