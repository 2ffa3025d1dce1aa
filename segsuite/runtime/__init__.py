"""Exported models without PyTorch: NumPy, Pillow, and ONNX Runtime or OpenVINO are enough."""

from .metadata import ExportMetadata

__all__ = ["ExportMetadata"]
