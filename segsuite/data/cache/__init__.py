"""What has been read or checked once and is kept for other processes."""

from .columns import Columns
from .folder import cache_folder, cached_columns

__all__ = ["Columns", "cache_folder", "cached_columns"]
