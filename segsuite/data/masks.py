"""The masks of annotations, whichever way they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segsuite.structures import rasterize_polygons, to_rle


def draw_masks(segmentations: Sequence[Any], size: tuple[int, int]) -> np.ndarray:
    """(N, H, W) uint8, 0 and 1.

    Args:
        segmentations: of N objects, each a list of polygons or an RLE of that size.
        size: (height, width) of the image.
    """
    masks = np.zeros((len(segmentations), *size), dtype=np.uint8)
    for mask, segmentation in zip(masks, segmentations, strict=True):
        if isinstance(segmentation, dict):
            is_compressed = not isinstance(segmentation["counts"], list)
            mask[:] = coco_mask.decode(
                segmentation if is_compressed else to_rle(segmentation, *size)
            )
        else:
            mask[:] = rasterize_polygons([segmentation], *size)[0].numpy()
    return masks
