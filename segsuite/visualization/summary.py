"""What is in an image according to a prediction, class by class, and how sure the model is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segsuite.data.palette import Color, rgb

from .prediction import Prediction, masks_of, required


@dataclass
class ClassSummary:
    """One class that a prediction has found.

    Attributes:
        color: RGB, as in the picture where things are drawn in the colours of their classes.
        count: instances; None for classes that have none.
        share: of the image's pixels, in [0, 1]; None where there are boxes alone.
        confidence: the mean probability of the pixels, or the mean score of the instances.
    """

    name: str
    color: Color
    count: int | None
    share: float | None
    confidence: float


def summarize(prediction: Prediction) -> list[ClassSummary]:
    """The classes in an image: those with most instances first, then those with most pixels."""
    if prediction.panoptic is not None:
        found = _panoptic(prediction)
    elif prediction.instances is not None:
        found = _instances(prediction)
    else:
        found = _label_map(prediction)
    return sorted(found, key=lambda c: (-(c.count or 0), -(c.share or 0.0), c.name))


def confidence_map(confidence: np.ndarray) -> np.ndarray:
    """Probabilities as a picture, from dark blue (0) over green to yellow (1).

    Args:
        confidence: (H, W) in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB.
    """
    levels = (255 * confidence.clip(0, 1)).round().astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def _label_map(prediction: Prediction) -> list[ClassSummary]:
    names = prediction.metadata.semantic_labels()
    colors = prediction.metadata.semantic_colors()
    labels = required(prediction.labels, "label map").ravel()
    confidence = required(prediction.confidence, "confidence").ravel()
    pixels = np.bincount(labels, minlength=len(names))
    sums = np.bincount(labels, confidence, minlength=len(names))
    return [
        ClassSummary(name, rgb(color), None, float(n / labels.size), float(total / n))
        for name, color, n, total in zip(names, colors, pixels, sums, strict=False)
        if n
    ]


def _instances(prediction: Prediction) -> list[ClassSummary]:
    shown = required(prediction.shown_instances, "instances")
    has_masks = masks_of(shown) is not None
    classes, scores = shown.pred_classes.numpy(), shown.scores.numpy()
    found = []
    for c in np.unique(classes):
        of_class = classes == c
        share = float(prediction.mask_of_class(int(c)).mean()) if has_masks else None
        name, color = prediction.metadata.thing_classes[c], rgb(prediction.thing_colors[c])
        count, confidence = int(of_class.sum()), float(scores[of_class].mean())
        found.append(ClassSummary(name, color, count, share, confidence))
    return found


def _panoptic(prediction: Prediction) -> list[ClassSummary]:
    segmentation, segments = required(prediction.panoptic, "panoptic segmentation")
    by_class: dict[tuple[bool, int], list[dict]] = {}
    for segment in segments:
        key = bool(segment["isthing"]), int(segment["category_id"])
        by_class.setdefault(key, []).append(segment)
    found = []
    for (is_thing, category), of_class in by_class.items():
        inside = np.isin(segmentation, [int(s["id"]) for s in of_class])
        share = float(inside.mean())
        if is_thing:
            name, color = prediction.metadata.thing_classes[category], prediction.thing_colors
            count, confidence = len(of_class), float(np.mean([s["score"] for s in of_class]))
        else:
            name, color = prediction.metadata.stuff_classes[category], prediction.stuff_colors
            probabilities = required(prediction.confidence, "confidence")[inside]
            count, confidence = None, float(probabilities.mean())
        found.append(ClassSummary(name, rgb(color[category]), count, share, confidence))
    return found
