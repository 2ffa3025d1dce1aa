"""Small instance models, and records for them."""

from __future__ import annotations

import torch

from segsuite.config import CfgNode, load_config
from segsuite.structures import Boxes, Instances, PolygonMasks
from tests.helpers import REPO

SMALL = {
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "MODEL.MASK_ON": True,
    "MODEL.BACKBONE.FREEZE_AT": 0,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 4,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.PIXEL_STD": [57.0, 57.0, 57.0],
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": 32,
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 100,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 50,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 40,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 20,
    "MODEL.ROI_HEADS.NUM_CLASSES": 3,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 16,
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
    "MODEL.ROI_BOX_HEAD.CONV_DIM": 8,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 8,
}

# Options of `small_cfg` for a Panoptic FPN.
PANOPTIC = {
    "MODEL__META_ARCHITECTURE": "PanopticFPN",
    "MODEL__SEM_SEG_HEAD__NUM_CLASSES": 4,
    "MODEL__SEM_SEG_HEAD__CONVS_DIM": 8,
    "MODEL__SEM_SEG_HEAD__IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "MODEL__SEM_SEG_HEAD__NAME": "SemSegFPNHead",
}


def small_cfg(base: str = "FPN", **options) -> CfgNode:
    """``configs/Base-RCNN-{base}.yaml``, narrow; options with "__" in place of dots."""
    chosen = {**SMALL, **{key.replace("__", "."): value for key, value in options.items()}}
    overrides = [word for pair in chosen.items() for word in pair]
    return load_config(REPO / "configs" / f"Base-RCNN-{base}.yaml", overrides)


def square(x: float, y: float, size: float) -> list[float]:
    return [x, y, x + size, y, x + size, y + size, x, y + size]


def record(*squares: tuple[float, float, float], height: int = 64, width: int = 96) -> dict:
    """A random image with objects, squares (x, y, size), of classes 0, 1, 2, 0, ..."""
    boxes = [[x, y, x + size, y + size] for x, y, size in squares]
    instances = Instances(
        (height, width),
        gt_boxes=Boxes(boxes),
        gt_classes=torch.arange(len(squares)) % 3,
        gt_masks=PolygonMasks([[square(*s)] for s in squares]),
    )
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    return {"image": image, "instances": instances}
