"""Bring the published data sets into the layout that the built-in ones are read from."""

from .download import check_file, download
from .recipes import RECIPES, prepare_dataset

__all__ = ["RECIPES", "check_file", "download", "prepare_dataset"]
