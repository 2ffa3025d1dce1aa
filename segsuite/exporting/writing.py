"""From a graph to a file of the format that was asked for, with its metadata."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from segsuite.errors import MissingPackageError
from segsuite.runtime import ExportMetadata
from segsuite.runtime.metadata import attach_to_onnx, attach_to_openvino

from .graphs import ExportGraph
from .onnx import write_onnx
from .openvino import convert_to_openvino
from .quantize import quantize_onnx
from .torch_export import write_torch_export
from .web import find_onnxruntime_web, write_page

# The packages that write each format, and read it for the check.
_PACKAGES = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
    "torch_export": (),
    "web": ("onnx", "onnxscript", "onnxruntime"),
}
_QUANTIZING = ("onnxruntime",)


def check_packages(format: str, precision: str) -> None:
    """
    Raises:
        MissingPackageError: one is not installed that is needed; names the extra that brings it.
            Or PyTorch is too old.
    """
    if not hasattr(torch.export.Dim, "DYNAMIC"):
        raise MissingPackageError(
            f"exports need PyTorch 2.6 or newer, and {torch.__version__} is installed: pip install "
            "--upgrade torch torchvision"
        )
    for name in (*_PACKAGES[format], *(_QUANTIZING if precision == "int8" else ())):
        try:
            importlib.import_module(name)
        except ImportError as error:
            extras = "export,openvino" if name == "openvino" else "export"
            raise MissingPackageError(
                f"an export as {format} needs the package {name}, which can't be imported "
                f'({error}): pip install "segsuite-torch[{extras}]"'
            ) from error


def write_graph(
    graph: ExportGraph,
    path: Path,
    metadata: ExportMetadata,
    calibration: Iterable[dict[str, Tensor]],
) -> None:
    """Write `graph` as its options say.

    Args:
        path: a file, or for OpenVINO and browsers a folder, which is made.
        calibration: inputs to quantise with, where that is asked for.

    Raises:
        ConfigError: it can't be exported; names the module.
    """
    options = graph.options
    if options.format == "torch_export":
        write_torch_export(graph, path, metadata)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "float.onnx")
        write_onnx(graph, file)
        if options.precision == "int8":
            quantized = Path(folder, "int8.onnx")
            quantize_onnx(file, quantized, calibration, graph.exact_layers)
            file = quantized
        if options.format == "onnx":
            path.write_bytes(file.read_bytes())
            attach_to_onnx(path, metadata)
            return
        if options.format == "web":
            attach_to_onnx(file, metadata)
            write_page(file, path, metadata, find_onnxruntime_web(options.onnxruntime_web))
            return
        path.mkdir()
        xml_file = path / "model.xml"
        convert_to_openvino(file, xml_file, float16=options.precision == "float16")
        attach_to_openvino(xml_file, metadata)
