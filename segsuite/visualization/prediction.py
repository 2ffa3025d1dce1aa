"""`Prediction`: what a model says about one image, to be looked at or written to files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from segsuite.data.catalog import Metadata
from segsuite.data.palette import Color, default_colors, rgb
from segsuite.structures import (
    BitMasks,
    HasWindows,
    Instances,
    as_sem_seg,
    encode_window,
    masks_union,
    sem_seg_labels,
)
from segsuite.structures.rle import RLE

from .draw import overlay
from .instances import draw_instances
from .panoptic import draw_panoptic
from .sheet import save_image

T = TypeVar("T")


@dataclass
class Prediction:
    """A model's output for one image, with the names and colours of its classes.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        outputs: as the model returned it: ``sem_seg``, ``instances`` or ``panoptic_seg``.
        metadata: of the data set that the model was trained for.
        min_score: instances below it are not drawn; all are in `coco_results`.
    """

    image: np.ndarray
    outputs: dict[str, Any]
    metadata: Metadata
    min_score: float = 0.5

    @cached_property
    def labels(self) -> np.ndarray | None:
        """(H, W) class of every pixel, or None where the model is not semantic."""
        if "sem_seg" not in self.outputs:
            return None
        return sem_seg_labels(self.outputs["sem_seg"]).cpu().numpy()

    @cached_property
    def confidence(self) -> np.ndarray | None:
        """(H, W) float32, the probability of `labels`, or None where there are none, or labels
        alone."""
        if "sem_seg" not in self.outputs:
            return None
        confidence = as_sem_seg(self.outputs["sem_seg"]).confidence()
        return None if confidence is None else confidence.cpu().numpy()

    @cached_property
    def instances(self) -> Instances | None:
        """All instances, best first, on the CPU; None where the model finds none by design."""
        if "instances" not in self.outputs:
            return None
        instances = self.outputs["instances"].to("cpu")
        order = instances.scores.argsort(descending=True, stable=True)
        # Masks of the size of the image would be copied.
        return instances if torch.equal(order, torch.arange(len(order))) else instances[order]

    @cached_property
    def panoptic(self) -> tuple[np.ndarray, list[dict]] | None:
        """((H, W) int32 ids, what each segment is), or None where the model is not panoptic."""
        if "panoptic_seg" not in self.outputs:
            return None
        segmentation, segments = self.outputs["panoptic_seg"]
        return segmentation.cpu().numpy(), list(segments)

    @cached_property
    def shown_instances(self) -> Instances | None:
        """The instances that are drawn."""
        if self.instances is None:
            return None
        # They are sorted, and a slice of masks is no copy.
        return self.instances[: int((self.instances.scores >= self.min_score).sum())]

    def draw(self, colors: Sequence[Color] | None = None) -> np.ndarray:
        """The image with the prediction over it: (H, W, 3) uint8 RGB.

        Args:
            colors: RGB of each of `shown_instances`, or of the things among the panoptic segments:
                to keep them over the frames of a video, or those of `class_colors_of_things`.
        """
        if self.panoptic is not None:
            segmentation, segments = self.panoptic
            return draw_panoptic(
                self.image,
                segmentation,
                segments,
                thing_names=self.metadata.thing_classes,
                stuff_names=self.metadata.stuff_classes,
                stuff_colors=self.stuff_colors,
                thing_colors=colors,
            )
        if self.instances is not None:
            return self._draw_instances(colors)
        colors = self.metadata.semantic_colors()
        return overlay(self.image, required(self.labels, "label map"), colors)

    @property
    def stuff_colors(self) -> Sequence[Color]:
        """RGB of each semantic class."""
        names = self.metadata.stuff_classes
        return self.metadata.get("stuff_colors") or default_colors(len(names))

    @property
    def thing_colors(self) -> Sequence[Color]:
        """RGB of each class of instances."""
        names = self.metadata.thing_classes
        return self.metadata.get("thing_colors") or default_colors(len(names))

    def class_colors_of_things(self) -> list[Color]:
        """Colours for `draw` that tell classes apart, and not the instances of a class."""
        if self.panoptic is not None:
            classes = [int(s["category_id"]) for s in self.panoptic[1] if s["isthing"]]
        else:
            shown = self.shown_instances
            classes = [] if shown is None else shown.pred_classes.tolist()
        return [rgb(self.thing_colors[c]) for c in classes]

    def mask_of_class(self, class_id: int) -> np.ndarray:
        """(H, W) bool: the pixels of the `shown_instances` of a class, their boxes where there are
        no masks."""
        shown = required(self.shown_instances, "instances")
        chosen = shown.pred_classes == class_id
        masks = masks_of(shown)
        if masks is not None:
            return masks_union(masks, chosen.nonzero()[:, 0].tolist()).numpy()
        covered = np.zeros(self.image.shape[:2], bool)
        boxes = shown.pred_boxes.tensor.round().int()[chosen]
        for x0, y0, x1, y1 in boxes.tolist():
            covered[max(y0, 0) : y1, max(x0, 0) : x1] = True
        return covered

    def coco_results(self, image_id: int | str) -> list[dict[str, Any]]:
        """The instances in COCO's results format, masks as compressed RLE.

        Category ids are the data set's; class numbers where it has no others.
        """
        instances = self.instances
        if instances is None or not len(instances):
            return []
        contiguous = self.metadata.get("thing_dataset_id_to_contiguous_id") or {}
        ids = {int(c): int(dataset_id) for dataset_id, c in contiguous.items()}
        boxes = instances.pred_boxes.tensor.clone()
        boxes[:, 2:] -= boxes[:, :2]
        rles = _rles(instances)
        results = []
        for i, (box, score, label) in enumerate(
            zip(
                boxes.tolist(),
                instances.scores.tolist(),
                instances.pred_classes.tolist(),
                strict=True,
            )
        ):
            category = ids.get(label, label)
            entry = {"image_id": image_id, "category_id": category, "bbox": box, "score": score}
            results.append(entry if rles is None else {**entry, "segmentation": rles[i]})
        return results

    def label_image(self) -> Image.Image:
        """`labels` as an 8-bit palette image, 16-bit grey for more than 256 classes."""
        labels = required(self.labels, "label map")
        if labels.dtype != np.uint8:
            return Image.fromarray(labels.astype(np.uint16))
        image = Image.fromarray(labels)
        colors = self.metadata.semantic_colors()
        image.putpalette([value for color in colors for value in color])
        return image

    def panoptic_image(self) -> Image.Image:
        """The segment ids as COCO's panoptic PNG files store them: R + 256 G + 65536 B."""
        segmentation, _ = required(self.panoptic, "panoptic segmentation")
        ids = segmentation.astype(np.uint32)
        return Image.fromarray(np.stack([ids >> s & 255 for s in (0, 8, 16)], -1).astype(np.uint8))

    def save(self, folder: str | os.PathLike, name: str) -> list[Path]:
        """Write ``<name>.jpg``, the overlay, and the files of `save_maps`.

        Returns:
            The files.
        """
        overlay_file = Path(folder, f"{name}.jpg")
        save_image(overlay_file, self.draw())
        return [overlay_file, *self.save_maps(folder, name)]

    def save_maps(self, folder: str | os.PathLike, name: str) -> list[Path]:
        """Write ``labels/<name>.png`` or ``panoptic/<name>.png``, or both, whichever there are.

        Returns:
            The files.
        """
        files = []
        for kind, image in (
            ("labels", None if self.labels is None else self.label_image()),
            ("panoptic", None if self.panoptic is None else self.panoptic_image()),
        ):
            if image is not None:
                files.append(Path(folder, kind, f"{name}.png"))
                files[-1].parent.mkdir(parents=True, exist_ok=True)
                image.save(files[-1])
        return files

    def found(self) -> dict[str, float | int]:
        """What is in the image: shares of the pixels by class in percent, or numbers of
        instances or segments; the largest first."""
        if self.panoptic is not None:
            names = [
                (m.thing_classes if s["isthing"] else m.stuff_classes)[int(s["category_id"])]
                for m, s in ((self.metadata, s) for s in self.panoptic[1])
            ]
        elif self.instances is not None:
            classes = required(self.shown_instances, "instances").pred_classes.tolist()
            names = [self.metadata.thing_classes[c] for c in classes]
        else:
            labels = required(self.labels, "label map")
            names = self.metadata.semantic_labels()
            shares = 100 * np.bincount(labels.ravel(), minlength=len(names)) / labels.size
            pairs = zip(names, shares.tolist(), strict=False)
            return {n: round(s, 2) for n, s in sorted(pairs, key=lambda p: -p[1]) if s}
        return {n: names.count(n) for n in sorted(set(names), key=lambda n: (-names.count(n), n))}

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        found = self.found()
        unit = " %" if self.panoptic is None and self.instances is None else ""
        listed = ", ".join(f"{name} {amount}{unit}" for name, amount in list(found.items())[:8])
        more = f" and {len(found) - 8} more" if len(found) > 8 else ""
        what = f"{listed}{more}" or "nothing found"
        return f"<Prediction of {height} x {width} pixels (height x width): {what}>"

    def _draw_instances(self, colors: Sequence[Color] | None) -> np.ndarray:
        shown = required(self.shown_instances, "instances")
        names = self.metadata.thing_classes
        texts = [
            f"{names[c]} {100 * s:.0f}%"
            for c, s in zip(shown.pred_classes.tolist(), shown.scores.tolist(), strict=True)
        ]
        boxes = shown.pred_boxes.tensor.numpy()
        masks = masks_of(shown)
        return draw_instances(self.image, boxes, masks=masks, texts=texts, colors=colors)


def required(value: T | None, what: str) -> T:
    """`value`, or a ValueError that the model's output has no such thing."""
    if value is None:
        raise ValueError(f"the prediction has no {what}: the model does not give any")
    return value


def masks_of(instances: Instances) -> HasWindows | None:
    """The masks of predictions, or None where the model gives no masks."""
    if not instances.has("pred_masks"):
        return None
    masks = instances.pred_masks
    return BitMasks(masks) if isinstance(masks, torch.Tensor) else masks


def _rles(instances: Instances) -> list[RLE] | None:
    masks = masks_of(instances)
    if masks is None:
        return None
    return [encode_window(window, y, x, masks.image_size) for y, x, window in masks.windows()]
