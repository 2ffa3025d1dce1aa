"""What models and evaluators exchange."""

from .boxes import Boxes, clip_boxes, pairwise_iou
from .image_list import ImageList
from .instances import Instances
from .masks import BitMasks, PolygonMasks
from .rle import decode_masks, encode_masks, rasterize_polygons, to_rle
from .sem_seg import SemSegLogits

__all__ = [
    "BitMasks",
    "Boxes",
    "ImageList",
    "Instances",
    "PolygonMasks",
    "SemSegLogits",
    "clip_boxes",
    "decode_masks",
    "encode_masks",
    "pairwise_iou",
    "rasterize_polygons",
    "to_rle",
]
