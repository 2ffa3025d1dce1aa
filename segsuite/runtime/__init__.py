"""Exported models without PyTorch: NumPy, Pillow, and ONNX Runtime or OpenVINO are enough."""

from .engines import Engine, open_engine
from .metadata import ExportMetadata, is_exported, read_metadata
from .model import ExportedModel
from .result import Result

__all__ = [
    "Engine",
    "ExportMetadata",
    "ExportedModel",
    "Result",
    "is_exported",
    "open_engine",
    "read_metadata",
]
