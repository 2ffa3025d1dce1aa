"""Static quantisation to 8 bits by ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .tracing import silenced

if TYPE_CHECKING:
    import onnx

# What a network spends its time in. What is before and after it (the arithmetic of boxes, RoIAlign,
# NMS, pasting, loops) has none of these with weights.
_OPERATORS = ["Conv", "ConvTranspose", "Gemm", "MatMul"]


def quantize_onnx(
    source: Path,
    target: Path,
    inputs: Iterable[dict[str, Tensor]],
    exact_layers: Collection[str] = (),
) -> None:
    """Write an ONNX file with 8-bit weights and activations, as QuantizeLinear and
    DequantizeLinear say it to all runtimes.

    Weights have a scale for each output channel. Activations have one scale, which is that of the
    range of values that they take on the `inputs`.

    Args:
        source: in float32.
        inputs: of the graph, by name, of one image each. They are read one at a time, and only
            ranges are kept of them.
        exact_layers: names of modules that stay in float32.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._inputs: Iterator[dict[str, Tensor]] = iter(inputs)

        def get_next(self) -> dict[str, Any] | None:
            found = next(self._inputs, None)
            return found and {name: tensor.numpy() for name, tensor in found.items()}

    with tempfile.TemporaryDirectory() as folder, silenced():
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            nodes_to_exclude=_nodes_of(onnx.load(prepared), exact_layers),
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            # Products of two activations, as of attention, lose too much.
            extra_options={"MatMulConstBOnly": True},
        )


def _nodes_of(model: onnx.ModelProto, layers: Collection[str]) -> list[str]:
    """Names of the nodes that have weights of some modules."""
    names = tuple(f"{layer}." for layer in layers)
    return [
        node.name
        for node in model.graph.node
        if node.op_type in _OPERATORS and any(given.startswith(names) for given in node.input)
    ]
