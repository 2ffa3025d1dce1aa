"""Bring published data sets into the layout that the built-in ones are read from, and write any
data set in other formats."""

from .download import check_file, download
from .recipes import RECIPES, prepare_dataset
from .write import write_coco, write_yolo

__all__ = ["RECIPES", "check_file", "download", "prepare_dataset", "write_coco", "write_yolo"]
