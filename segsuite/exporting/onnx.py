"""ONNX, by PyTorch's exporter."""

from __future__ import annotations

from pathlib import Path

import torch

from segsuite.errors import MissingPackageError

from .graphs import ExportGraph
from .pooling import pooling_translations
from .tracing import explaining, trace
from .translations import translation_table

OPSET = 18


def write_onnx(graph: ExportGraph, path: Path) -> None:
    """Write a graph to an ONNX file.

    Raises:
        MissingPackageError: onnx or onnxscript are not installed.
        ConfigError: the graph can't be exported; see `trace`.
    """
    try:
        import onnxscript  # noqa: F401, what PyTorch's exporter is written with
    except ImportError as error:
        raise MissingPackageError(
            "exporting to ONNX needs the packages onnx, onnxscript and onnxruntime: pip install "
            '"segsuite-torch[export]"'
        ) from error
    program = trace(graph)
    with explaining(graph, program):
        converted = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(graph.example()),
            output_names=list(graph.outputs),
            optimize=True,
            custom_translation_table={**pooling_translations(), **translation_table()},
        )
        assert converted is not None
        converted.save(path)
