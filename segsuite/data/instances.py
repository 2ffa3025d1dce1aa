"""From the annotations of a record to the `Instances` that a model is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from segsuite.structures import BitMasks, Boxes, Instances, PolygonMasks

from .boxes import corner_boxes, has_mask
from .masks import draw_masks
from .transforms import Transform

MASK_FORMATS = ("polygon", "bitmask")
# Sides of boxes, in pixels, that count as none.
_EMPTY = 1e-5


def annotations_to_instances(
    annotations: Sequence[dict[str, Any]],
    size: tuple[int, int],
    transform: Transform,
    *,
    mask_format: str | None,
    recompute_boxes: bool = False,
) -> Instances:
    """Transform annotations; crowds, and objects of which nothing is left, are dropped.

    Args:
        annotations: as `load_coco_json` gives them; a ``bbox`` may be written in another
            `BoxMode`, which ``bbox_mode`` then tells.
        size: (height, width) of the image before `transform`.
        mask_format: "polygon": `PolygonMasks`, or `BitMasks` for an image of which an object is
            stored as RLE; "bitmask": `BitMasks`; None: no masks. With masks, objects that have none
            are dropped.
        recompute_boxes: take the boxes from the transformed masks. Of an object that a crop cuts
            they are tighter than what the crop leaves of its box.

    Returns:
        ``gt_boxes``: `Boxes`, float32, within the transformed image; ``gt_classes``: (N,) int64;
        unless `mask_format` is None ``gt_masks``. N may be 0.

    Raises:
        DataError: see `box_mode`.
    """
    annotations = [a for a in annotations if not a.get("iscrowd", 0)]
    if mask_format is not None:
        annotations = [a for a in annotations if has_mask(a)]
    new_size = transform.output_size(size)
    # Rounded where Detectron2 rounds.
    boxes = corner_boxes(annotations, size, np.float32)
    boxes = transform.apply_box(boxes).clip(0, [*new_size[::-1]] * 2)
    instances = Instances(
        new_size,
        gt_boxes=Boxes(torch.from_numpy(boxes.astype(np.float32))),
        gt_classes=torch.tensor([a["category_id"] for a in annotations], dtype=torch.int64),
    )
    keep = None
    if mask_format is not None:
        segmentations = [a["segmentation"] for a in annotations]
        masks: PolygonMasks | BitMasks
        if mask_format == "polygon" and not any(isinstance(s, dict) for s in segmentations):
            masks = _transform_polygons(segmentations, transform)
        else:
            masks = _transform_bit_masks(segmentations, size, transform)
        instances.gt_masks = masks
        keep = masks.nonempty()
        if recompute_boxes:
            instances.gt_boxes = masks.get_bounding_boxes()
            instances.gt_boxes.clip(new_size)
    nonempty = instances.gt_boxes.nonempty(_EMPTY)
    keep = nonempty if keep is None else keep & nonempty
    return instances if keep.all() else instances[keep]


def _transform_polygons(
    segmentations: Sequence[Sequence[np.ndarray]], transform: Transform
) -> PolygonMasks:
    flat = [np.reshape(polygon, (-1, 2)) for polygons in segmentations for polygon in polygons]
    moved = iter(transform.apply_polygons(flat))
    return PolygonMasks(
        [
            [p.ravel() for p in (next(moved) for _ in polygons) if len(p)]
            for polygons in segmentations
        ]
    )


def _transform_bit_masks(
    segmentations: Sequence[Sequence[np.ndarray] | dict],
    size: tuple[int, int],
    transform: Transform,
) -> BitMasks:
    masks = transform.apply_masks(draw_masks(segmentations, size))
    return BitMasks(np.ascontiguousarray(masks))
