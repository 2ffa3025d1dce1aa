"""Checkpoints of other libraries as ours: one table of names for each kind of file."""

from .convert import convert, fit_names
from .formats import Classes, Conversion
from .torchvision import voc_names
from .torchvision_detection import coco_names

__all__ = ["Classes", "Conversion", "coco_names", "convert", "fit_names", "voc_names"]
