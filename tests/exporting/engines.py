"""Graphs of ONNX run by ONNX Runtime and OpenVINO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import torch
from torch import Tensor, nn

from segsuite.exporting.openvino import convert_to_openvino
from segsuite.exporting.tracing import silenced
from segsuite.exporting.translations import translation_table


def export_module(module: nn.Module, example: tuple, dynamic: tuple | None, path: Path) -> None:
    """Write a module with segsuite's operators to an ONNX file, and beside it to OpenVINO's."""
    with silenced():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            opset_version=18,
            dynamic_shapes=dynamic,
            verbose=False,
            custom_translation_table=translation_table(),
        )
    program.save(path)
    convert_to_openvino(path, path.with_suffix(".xml"))


def run_onnxruntime(path: Path, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]
    arrays = session.run(None, {n: x.numpy() for n, x in zip(names, inputs, strict=True)})
    return [torch.from_numpy(array) for array in arrays]


def run_openvino(path: Path, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(path.with_suffix(".xml"), "CPU", options)
    results = model([x.numpy() for x in inputs])
    return [torch.from_numpy(np.array(results[x])) for x in model.outputs]


ENGINES: Mapping[str, Callable[[Path, tuple[Tensor, ...]], list[Tensor]]] = {
    "onnxruntime": run_onnxruntime,
    "openvino": run_openvino,
}
