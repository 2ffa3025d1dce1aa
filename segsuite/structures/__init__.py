"""What models and evaluators exchange."""

from .boxes import Boxes, clip_boxes, pairwise_iou
from .image_list import ImageList
from .instances import Instances
from .sem_seg import SemSegLogits

__all__ = ["Boxes", "ImageList", "Instances", "SemSegLogits", "clip_boxes", "pairwise_iou"]
