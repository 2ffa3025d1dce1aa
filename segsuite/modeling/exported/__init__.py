"""Exported files as models: `ExportedSegmentor`, and what runs a ``.pt2``."""

from .segmentor import ExportedSegmentor

__all__ = ["ExportedSegmentor"]
