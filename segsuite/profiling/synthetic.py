"""Random images with random ground truth: for measuring what a model costs without a data set."""

from __future__ import annotations

from typing import Any

import torch

from segsuite.config import CfgNode
from segsuite.structures import BitMasks, Boxes, Instances, num_labels


def synthetic_batch(
    cfg: CfgNode, height: int, width: int, count: int, *, objects: int = 8
) -> list[dict[str, Any]]:
    """Records as a `DatasetMapper` makes them, with all that a model may ask for.

    Args:
        height, width: of the images, in pixels.
        count: of the images.
        objects: in each image.

    Returns:
        ``image`` (C, H, W) uint8, ``height``, ``width``, ``sem_seg`` (H, W) int64 in vertical
        stripes and ``instances`` with boxes of a tenth to half of the image and full masks. The
        same every time.
    """
    generator = torch.Generator().manual_seed(0)
    classes = num_labels(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)
    channels = len(cfg.MODEL.PIXEL_MEAN)
    stripes = (torch.arange(width) * 4 * classes // width) % classes
    size = torch.tensor([width, height])
    batch = []
    for _ in range(count):
        sides = (0.1 + 0.4 * torch.rand(objects, 2, generator=generator)) * size
        corners = torch.rand(objects, 2, generator=generator) * (size - sides)
        boxes = torch.cat([corners, corners + sides], dim=1)
        instances = Instances(
            (height, width),
            gt_boxes=Boxes(boxes),
            gt_classes=torch.randint(
                cfg.MODEL.ROI_HEADS.NUM_CLASSES, (objects,), generator=generator
            ),
            gt_masks=BitMasks(_filled(boxes, height, width)),
        )
        batch.append(
            {
                "image": torch.randint(
                    256, (channels, height, width), dtype=torch.uint8, generator=generator
                ),
                "height": height,
                "width": width,
                "sem_seg": stripes.expand(height, width).contiguous(),
                "instances": instances,
            }
        )
    return batch


def _filled(boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(N, H, W) bool: the pixels whose centres lie in each box."""
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    x0, y0, x1, y1 = boxes.T[..., None]
    columns, rows = (x0 <= x) & (x < x1), (y0 <= y) & (y < y1)
    return rows[:, :, None] & columns[:, None]
