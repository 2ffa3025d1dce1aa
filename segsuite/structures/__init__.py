"""What models and evaluators exchange."""

from typing import TYPE_CHECKING

from segsuite.utils.lazy import lazy_names

from .box_mode import BoxMode
from .rle import decode_masks, encode_masks, encode_window, rasterize_polygons, to_rle

if TYPE_CHECKING:
    from .boxes import Boxes, clip_boxes, iou_matrix, pairwise_iou
    from .image_list import ImageList, padded_size, size_tensor
    from .image_masks import HasWindows, ImageMasks, SegmentationMasks, WindowMasks, masks_union
    from .instance_batch import InstanceBatch, at_most, first_places, take_places
    from .instances import Instances
    from .masks import BitMasks, PolygonMasks
    from .roi_masks import ROIMasks, whole_pixel_boxes
    from .sem_seg import (
        SemSegLabels,
        SemSegLogits,
        SemSegPrediction,
        as_sem_seg,
        label_logits,
        num_labels,
        sem_seg_labels,
    )

__all__ = [
    "BitMasks",
    "BoxMode",
    "Boxes",
    "HasWindows",
    "ImageList",
    "ImageMasks",
    "InstanceBatch",
    "Instances",
    "PolygonMasks",
    "ROIMasks",
    "SegmentationMasks",
    "SemSegLabels",
    "SemSegLogits",
    "SemSegPrediction",
    "WindowMasks",
    "as_sem_seg",
    "at_most",
    "clip_boxes",
    "decode_masks",
    "encode_masks",
    "encode_window",
    "first_places",
    "iou_matrix",
    "label_logits",
    "masks_union",
    "num_labels",
    "padded_size",
    "pairwise_iou",
    "rasterize_polygons",
    "sem_seg_labels",
    "size_tensor",
    "take_places",
    "to_rle",
    "whole_pixel_boxes",
]

__getattr__, __dir__ = lazy_names(__name__)
