"""Error maps: where a prediction and the ground truth agree, and in what way they differ.

A pixel is found or missed of a class that it has in the ground truth, and false of one that it has
in the prediction alone. Over all classes, what is missed of one class is mostly false of another;
that is shown as "another class".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from segsuite.data.palette import Color, rgb
from segsuite.errors import DataError

_NOTHING, _FOUND, _MISSED, _FALSE, _OTHER, _IGNORED = range(6)
_NAMES = ("found", "missed", "false", "another class", "does not count")
_PAINT = np.array(
    [(0, 0, 0), (0, 160, 255), (255, 180, 0), (190, 40, 0), (90, 40, 180), (40, 42, 48)],
    dtype=np.float32,
)
# What is right is tinted, so that what is wrong stands out; the photo shows through a little.
_OPACITY = np.array([[0], [0.45], [0.85], [0.85], [0.85], [1]], dtype=np.float32)
_MEAN_GREY = 190
# What error maps show, and in which colours; the colour-blind tell them apart.
ERROR_COLORS: dict[str, Color] = {
    name: rgb(color)
    for name, color in zip(
        _NAMES, (_PAINT * _OPACITY + _MEAN_GREY * (1 - _OPACITY))[_FOUND:].round(), strict=True
    )
}


def error_map(
    image: np.ndarray,
    prediction: np.ndarray,
    target: np.ndarray,
    ignore_label: int,
    class_id: int | None = None,
) -> np.ndarray:
    """The errors of a label map, over a pale grey image.

    Args:
        image: (H, W, 3) uint8 RGB.
        prediction, target: (H, W) integers; where the prediction is `ignore_label`, it says
            nothing.
        class_id: show the errors of this class; by default of all.

    Returns:
        (H, W, 3) uint8.

    Raises:
        DataError: the sizes differ.
    """
    check_size(image, prediction)
    check_size(image, target)
    if class_id is None:
        wrong = np.where(prediction == ignore_label, _MISSED, _OTHER)
        codes = np.where(prediction == target, _FOUND, wrong)
    else:
        codes = _codes([(prediction == class_id, target == class_id)], target.shape)
    return _paint(image, np.where(target == ignore_label, _IGNORED, codes))


def mask_error_map(
    image: np.ndarray,
    masks: Iterable[tuple[np.ndarray, np.ndarray]],
    ignored: np.ndarray | None = None,
) -> np.ndarray:
    """The errors of masks that may overlap, over a pale grey image.

    Args:
        image: (H, W, 3) uint8 RGB.
        masks: of each class, its predicted and its true pixels, (H, W) bool.
        ignored: (H, W) bool, pixels that do not count.

    Returns:
        (H, W, 3) uint8.
    """
    codes = _codes(masks, image.shape[:2])
    return _paint(image, codes if ignored is None else np.where(ignored, _IGNORED, codes))


def panoptic_labels(
    segmentation: np.ndarray, segments: Sequence[Mapping[str, Any]], num_things: int
) -> np.ndarray:
    """The class of each pixel of a panoptic segmentation, for `error_map`.

    Args:
        segmentation: (H, W) integers, the id of each pixel's segment; 0 for none.
        segments: ``id``, ``isthing`` and ``category_id`` of each, and ``iscrowd`` where it is one.

    Returns:
        (H, W) int32: the class of things; `num_things` and more for stuff; -1 for no segment, a
        crowd, or a segment that is not listed.
    """
    labels = np.full(segmentation.shape, -1, dtype=np.int32)
    for segment in segments:
        if not segment.get("iscrowd"):
            offset = 0 if segment["isthing"] else num_things
            labels[segmentation == segment["id"]] = int(segment["category_id"]) + offset
    return labels


def check_size(image: np.ndarray, labels: np.ndarray) -> None:
    """Raise a ValueError where a label map is not of the size of the image."""
    if image.shape[:2] != labels.shape:
        raise DataError(
            f"the image has {image.shape[0]} x {image.shape[1]} pixels (height x width), the "
            f"labels {' x '.join(map(str, labels.shape))}; resize the labels with nearest "
            "neighbours, or the image"
        )


def _codes(masks: Iterable[tuple[np.ndarray, np.ndarray]], size: tuple[int, int]) -> np.ndarray:
    """What each pixel is; an error of one class counts more than what is found of another."""
    found, missed, false = np.zeros((3, *size), dtype=bool)
    for prediction, target in masks:
        found |= prediction & target
        missed |= target & ~prediction
        false |= prediction & ~target
    conditions = [missed & false, missed, false, found]
    return np.select(conditions, [_OTHER, _MISSED, _FALSE, _FOUND], _NOTHING)


def _paint(image: np.ndarray, codes: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] // 3 + 150
    opacity = _OPACITY[codes]
    return (grey * (1 - opacity) + _PAINT[codes] * opacity).round().astype(np.uint8)
