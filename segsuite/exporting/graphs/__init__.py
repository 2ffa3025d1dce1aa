"""What is exported: modules that take tensors and return tensors, one for each task."""

from .base import Difference, ExportGraph
from .build import build_graph

__all__ = ["Difference", "ExportGraph", "build_graph"]
