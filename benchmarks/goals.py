"""How many times as fast as torchvision, or as the usual way of PyTorch, work is to be on a GPU.

For one H100 or H200, by the names of the rows; what has no goal is not here.
"""

from __future__ import annotations

_ROIS = "1000 RoIs of 16-512 px to 7x7"
_PYRAMID = "1000 RoIs of 16-800 px to 7x7"
_CITYSCAPES = ("1x128x256 -> 1024x2048", "4x256x512 -> 1024x2048")
_SEMANTIC = "8 x 512x1024"

GOALS: dict[str, float] = {
    f"roi_align forward, {_ROIS}, 2 samples, NHWC float32": 5,
    f"roi_align forward, {_ROIS}, 2 samples, NHWC float16": 8,
    f"roi_align forward, {_ROIS}, 2 samples, NCHW float32": 2.5,
    f"roi_align forward, {_ROIS}, 2 samples, NCHW float16": 3,
    **{
        f"roi_align forward, {_ROIS}, adaptive, {layout} {dtype}": 6
        for layout in ("NHWC", "NCHW")
        for dtype in ("float32", "float16")
    },
    f"roi_align forward + backward, {_ROIS}, 2 samples, NHWC float32": 4,
    f"roi_align forward + backward, {_ROIS}, 2 samples, NCHW float32": 3,
    f"multilevel_roi_align forward + backward, {_PYRAMID}, adaptive, NHWC float32": 6,
    f"multilevel_roi_align forward + backward, {_PYRAMID}, adaptive, NCHW float32": 4,
    "batched_nms, 16 images x 5 levels x 2000, even, best 1000": 50,
    **{
        f"confusion_matrix_from_logits, 19 classes, {sizes}, {kind}, float32, uint8 targets": goal
        for sizes in _CITYSCAPES
        for kind, goal in (("smooth", 40), ("noise", 20))
    },
    **{
        f"confusion_matrix, 19 classes, 4x1024x2048, {kind}, uint8": 30
        for kind in ("smooth", "noise")
    },
    "Mask R-CNN training, 2 images, bfloat16": 2.2,
    "Mask R-CNN training, 16 images, bfloat16": 3,
    "Mask R-CNN training, 16 images, tf32": 1.8,
    f"LR-ASPP evaluation, {_SEMANTIC}, tf32": 1.5,
    f"LR-ASPP evaluation in a CUDA graph, {_SEMANTIC}, tf32": 1.5,
}
