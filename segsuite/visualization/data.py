"""Training data as pictures: annotations as they are stored, or samples as the model gets them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch

from segsuite.data import ImageReader, Metadata, read_sem_seg
from segsuite.data.boxes import corner_boxes, has_mask
from segsuite.structures import (
    HasWindows,
    ImageMasks,
    PolygonMasks,
    SegmentationMasks,
    masks_union,
)
from segsuite.structures.image_masks import Window
from segsuite.structures.masks import Index

from .draw import overlay
from .instances import draw_instances
from .sheet import fit_width


def draw_record(
    record: Mapping[str, Any],
    metadata: Metadata,
    width: int | None = None,
    *,
    reader: ImageReader | None = None,
) -> np.ndarray:
    """A record of a data set with its label map and objects drawn over the image.

    Args:
        width: scale the image to this width in pixels before anything is drawn, so that labels can
            be read; by default it keeps its size.
        reader: of the image, where it is other than 8-bit colours or grey.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        MissingFileError, DataError: a file is missing or damaged, or sizes differ.
    """
    reader = reader or ImageReader()
    image = reader.display(reader.read(record["file_name"]))
    height, width = image.shape[:2]
    sem_seg = None
    if "sem_seg_file_name" in record:
        label_map = record.get("label_map", metadata.get("label_map"))
        sem_seg = read_sem_seg(record["sem_seg_file_name"], label_map)
    annotations = record.get("annotations")
    if annotations is None:
        return _draw(image, sem_seg, None, metadata, width)
    boxes = corner_boxes(annotations, (height, width))
    masks: HasWindows | None = None
    if all(map(has_mask, annotations)):
        masks = SegmentationMasks([a["segmentation"] for a in annotations], (height, width))
    classes = [a["category_id"] for a in annotations]
    crowd = [bool(a.get("iscrowd")) for a in annotations]
    return _draw(image, sem_seg, (boxes, masks, classes, crowd), metadata, width)


def draw_sample(
    sample: Mapping[str, Any],
    metadata: Metadata,
    image_format: str,
    width: int | None = None,
    *,
    reader: ImageReader | None = None,
) -> np.ndarray:
    """A sample of the training loader: the pixels and labels that the model is given.

    Args:
        sample: of a `DatasetMapper` for training.
        image_format: the order of the channels in the sample, see `channel_order`.
        width, reader: see `draw_record`.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    image = sample["image"].numpy().transpose(1, 2, 0)
    if image_format == "BGR" and image.shape[2] == 3:
        image = image[:, :, ::-1]
    image = np.ascontiguousarray((reader or ImageReader()).display(image))
    sem_seg = sample["sem_seg"].numpy() if "sem_seg" in sample else None
    if "instances" not in sample:
        return _draw(image, sem_seg, None, metadata, width)
    instances = sample["instances"]
    masks = None
    if instances.has("gt_masks"):
        masks = instances.gt_masks
        if isinstance(masks, PolygonMasks):
            masks = SegmentationMasks(masks.polygons, (image.shape[0], image.shape[1]))
    classes = instances.gt_classes.tolist()
    boxes = instances.gt_boxes.tensor.numpy()
    crowd = [False] * len(classes)
    return _draw(image, sem_seg, (boxes, masks, classes, crowd), metadata, width)


def _draw(
    image: np.ndarray,
    sem_seg: np.ndarray | None,
    objects: tuple[np.ndarray, HasWindows | None, Sequence[int], Sequence[bool]] | None,
    metadata: Metadata,
    width: int | None,
) -> np.ndarray:
    scale = 1.0 if width is None else width / image.shape[1]
    picture = image if width is None else fit_width(image, width)
    size = picture.shape[1], picture.shape[0]
    if sem_seg is not None:
        colors = metadata.semantic_colors()
        labels = cv2.resize(sem_seg.astype(np.int16), size, interpolation=cv2.INTER_NEAREST_EXACT)
        picture = overlay(picture, labels, colors)
    if objects is not None:
        boxes, masks, classes, crowd = objects
        boxes = boxes * scale
        if masks is not None and width is not None:
            masks = _ResizedMasks(masks, (size[1], size[0]))
        names = metadata.thing_classes
        texts = [
            names[k] + (" (crowd)" if is_crowd else "")
            for k, is_crowd in zip(classes, crowd, strict=True)
        ]
        picture = draw_instances(picture, boxes, masks=masks, texts=texts)
    return picture


class _ResizedMasks(ImageMasks):
    """Masks brought to another size one at a time, to the nearest pixel."""

    def __init__(self, masks: HasWindows, image_size: tuple[int, int]) -> None:
        self._masks, self.image_size = masks, image_size

    def windows(self) -> Iterator[Window]:
        for i in range(len(self)):
            mask = masks_union(self._masks, [i]).numpy().view(np.uint8)
            size = self.image_size[::-1]
            resized = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)
            yield 0, 0, torch.from_numpy(resized).bool()

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, index: Index) -> _ResizedMasks:
        return _ResizedMasks(self._masks[index], self.image_size)
