"""Training data as pictures: annotations as they are stored, or samples as the model gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segsuite.data import Metadata, default_colors, read_image, read_sem_seg
from segsuite.structures import BitMasks, PolygonMasks
from segsuite.structures.rle import decode_masks, rasterize_polygons, to_rle

from .draw import overlay
from .instances import draw_instances


def draw_record(record: Mapping[str, Any], metadata: Metadata) -> np.ndarray:
    """A record of a data set with its label map and objects drawn over the image.

    Returns:
        (H, W, 3) uint8 RGB, of the size of the file.

    Raises:
        FileNotFoundError, ValueError: a file is missing or damaged, or sizes differ.
    """
    image = read_image(record["file_name"])
    height, width = image.shape[:2]
    sem_seg = None
    if "sem_seg_file_name" in record:
        label_map = record.get("label_map", metadata.get("label_map"))
        sem_seg = read_sem_seg(record["sem_seg_file_name"], label_map)
    annotations = record.get("annotations")
    if annotations is None:
        return _draw(image, sem_seg, None, metadata)
    boxes = np.array([a["bbox"] for a in annotations], dtype=float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    masks = None
    if all("segmentation" in a for a in annotations):
        rles = [to_rle(a["segmentation"], height, width) for a in annotations]
        masks = decode_masks(rles, height, width).numpy()
    classes = [a["category_id"] for a in annotations]
    crowd = [bool(a.get("iscrowd")) for a in annotations]
    return _draw(image, sem_seg, (boxes, masks, classes, crowd), metadata)


def draw_sample(sample: Mapping[str, Any], metadata: Metadata, image_format: str) -> np.ndarray:
    """A sample of the training loader: the pixels and labels that the model is given.

    Args:
        sample: of a `DatasetMapper` for training.
        image_format: INPUT.FORMAT, the order of the channels in the sample.

    Returns:
        (H, W, 3) uint8 RGB, of the size of the sample.
    """
    image = sample["image"].numpy().transpose(1, 2, 0)
    if image_format == "BGR":
        image = image[:, :, ::-1]
    image = np.ascontiguousarray(image)
    sem_seg = sample["sem_seg"].numpy() if "sem_seg" in sample else None
    if "instances" not in sample:
        return _draw(image, sem_seg, None, metadata)
    instances = sample["instances"]
    masks = None
    if instances.has("gt_masks"):
        masks = _bitmaps(instances.gt_masks, image.shape[:2])
    classes = instances.gt_classes.tolist()
    boxes = instances.gt_boxes.tensor.numpy()
    return _draw(image, sem_seg, (boxes, masks, classes, [False] * len(classes)), metadata)


def _draw(
    image: np.ndarray,
    sem_seg: np.ndarray | None,
    objects: tuple[np.ndarray, np.ndarray | None, Sequence[int], Sequence[bool]] | None,
    metadata: Metadata,
) -> np.ndarray:
    picture = image
    if sem_seg is not None:
        colors = metadata.get("stuff_colors") or default_colors(len(metadata.stuff_classes))
        picture = overlay(picture, sem_seg, colors)
    if objects is not None:
        boxes, masks, classes, crowd = objects
        names = metadata.thing_classes
        texts = [
            names[k] + (" (crowd)" if is_crowd else "")
            for k, is_crowd in zip(classes, crowd, strict=True)
        ]
        picture = draw_instances(picture, boxes, masks=masks, texts=texts)
    return picture


def _bitmaps(masks: BitMasks | PolygonMasks, size: tuple[int, int]) -> np.ndarray:
    """(N, H, W) bool."""
    if isinstance(masks, BitMasks):
        return masks.tensor.numpy()
    return rasterize_polygons(masks.polygons, *size).numpy()
