"""Models leave segsuite as ONNX, OpenVINO and torch.export files, each checked against PyTorch."""

from .api import Exported, export
from .options import FORMATS, PRECISIONS, ExportOptions

__all__ = ["FORMATS", "PRECISIONS", "ExportOptions", "Exported", "export"]
