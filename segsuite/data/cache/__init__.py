"""What has been read or checked once and is kept for other processes."""

from .columns import Columns
from .folder import cache_folder, cached_columns
from .results import read_in_parallel, remember

__all__ = ["Columns", "cache_folder", "cached_columns", "read_in_parallel", "remember"]
