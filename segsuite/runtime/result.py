"""`Result`: what an exported model says about one image, to be looked at or written to files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .classes import label_colors, label_names, thing_colors
from .drawing import draw_instances, draw_panoptic, overlay
from .images import Size
from .masks import Window, paste_windows, whole_pixel_boxes
from .metadata import ExportMetadata


@dataclass
class Result:
    """The prediction for one image of H x W pixels. What the model does not give is None.

    Attributes:
        metadata: of the model.
        size: (H, W).
        image: (H, W, 3) uint8 RGB, which `draw` draws on.
        labels: (H, W) uint8 or int32, the number of each pixel's class in `label_names`.
        confidence: (H, W) float32 in [0, 1], the probability of `labels`.
        boxes: (D, 4) float32 x1, y1, x2, y2 in pixels of the image, best first.
        scores: (D,) float32 in [0, 1].
        classes: (D,) int64, the number of each one's class in `thing_names`.
        mask_probabilities: (D, M, M) float32, the masks within the boxes.
        pasted: (D, H, W) bool, of a model that was exported so.
        panoptic: (H, W) int32, the id of each pixel's segment, 0 for none.
        segments: ``id``, ``isthing`` and ``category_id`` of each; for things ``score`` and
            ``instance_id``, for stuff ``area`` in pixels.
        min_score: instances below it are not drawn.
    """

    metadata: ExportMetadata
    size: Size
    image: np.ndarray | None = None
    labels: np.ndarray | None = None
    confidence: np.ndarray | None = None
    boxes: np.ndarray | None = None
    scores: np.ndarray | None = None
    classes: np.ndarray | None = None
    mask_probabilities: np.ndarray | None = None
    pasted: np.ndarray | None = None
    panoptic: np.ndarray | None = None
    segments: list[dict[str, Any]] = field(default_factory=list)
    min_score: float = 0.5

    @property
    def label_names(self) -> list[str]:
        """The name of each value in `labels`."""
        return label_names(self.metadata)

    @property
    def thing_names(self) -> list[str]:
        """The name of each value in `classes`."""
        return self.metadata.thing_classes or self.metadata.classes

    def mask_boxes(self) -> np.ndarray:
        """(D, 4) float32: the boxes over which `mask_probabilities` are spread evenly."""
        boxes, masks = _given(self.boxes, "boxes"), _given(self.mask_probabilities, "masks")
        return (
            whole_pixel_boxes(boxes, masks.shape[-1]) if self.metadata.whole_pixel_masks else boxes
        )

    def mask_windows(self) -> Iterator[Window]:
        """Of each instance the first row and column of the part of the image that its mask lies
        in, and the pixels of that part, (h, w) bool."""
        if self.pasted is not None:
            yield from ((0, 0, mask) for mask in self.pasted)
        else:
            probabilities = _given(self.mask_probabilities, "masks")
            yield from paste_windows(probabilities, self.mask_boxes(), self.size)

    @property
    def masks(self) -> np.ndarray | None:
        """(D, H, W) bool; of large images with many instances `mask_windows` takes less memory."""
        if self.pasted is not None or self.mask_probabilities is None:
            return self.pasted
        masks = np.zeros((len(self.mask_probabilities), *self.size), bool)
        for mask, (y, x, window) in zip(masks, self.mask_windows(), strict=True):
            mask[y : y + window.shape[0], x : x + window.shape[1]] = window
        return masks

    def draw(self) -> np.ndarray:
        """The image with the prediction over it: (H, W, 3) uint8 RGB."""
        image = _given(self.image, "image")
        if self.panoptic is not None:
            return draw_panoptic(image, self.panoptic, self.segments, self.metadata)
        if self.boxes is not None:
            return self._draw_instances(image)
        return overlay(image, _given(self.labels, "label map"), label_colors(self.metadata))

    def label_image(self) -> Image.Image:
        """`labels` as an 8-bit palette image, 16-bit grey for more than 256 classes."""
        labels = _given(self.labels, "label map")
        if labels.dtype != np.uint8:
            return Image.fromarray(labels.astype(np.uint16))
        image = Image.fromarray(labels)
        image.putpalette([value for color in label_colors(self.metadata) for value in color])
        return image

    def panoptic_image(self) -> Image.Image:
        """The segment ids as COCO's panoptic PNG files store them: R + 256 G + 65536 B."""
        ids = _given(self.panoptic, "panoptic segmentation").astype(np.uint32)
        return Image.fromarray(np.stack([ids >> s & 255 for s in (0, 8, 16)], -1).astype(np.uint8))

    def save(self, folder: str | os.PathLike[str], name: str) -> list[Path]:
        """Write ``<name>.jpg``, which `draw` gives, and ``labels/<name>.png`` and
        ``panoptic/<name>.png``, whichever there are.

        Returns:
            The files.
        """
        pictures = {Path(folder, f"{name}.jpg"): Image.fromarray(self.draw())}
        if self.labels is not None:
            pictures[Path(folder, "labels", f"{name}.png")] = self.label_image()
        if self.panoptic is not None:
            pictures[Path(folder, "panoptic", f"{name}.png")] = self.panoptic_image()
        for path, picture in pictures.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            options: dict[str, Any] = (
                {"quality": 92, "optimize": True} if path.suffix == ".jpg" else {}
            )
            picture.save(path, **options)
        return list(pictures)

    def _draw_instances(self, image: np.ndarray) -> np.ndarray:
        scores, classes = _given(self.scores, "scores"), _given(self.classes, "classes")
        chosen = np.flatnonzero(scores >= self.min_score)
        has_masks = self.mask_probabilities is not None or self.pasted is not None
        windows = list(self.mask_windows()) if has_masks else None
        colors, names = thing_colors(self.metadata), self.thing_names
        return draw_instances(
            image,
            _given(self.boxes, "boxes")[chosen],
            windows=None if windows is None else [windows[i] for i in chosen],
            texts=[f"{names[classes[i]]} {100 * scores[i]:.0f}%" for i in chosen],
            colors=[colors[classes[i]] for i in chosen],
        )


def _given(value: np.ndarray | None, what: str) -> np.ndarray:
    if value is None:
        raise ValueError(f"the result has no {what}: the model does not give any")
    return value
