"""What models and evaluators exchange."""

from .image_list import ImageList
from .sem_seg import SemSegLogits

__all__ = ["ImageList", "SemSegLogits"]
