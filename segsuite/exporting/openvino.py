"""OpenVINO's own format, by way of ONNX."""

from __future__ import annotations

from pathlib import Path

from .tracing import silenced


def convert_to_openvino(onnx_file: Path, xml_file: Path, *, float16: bool = False) -> None:
    """Convert an ONNX file, which may be quantised.

    Args:
        xml_file: gets the graph, and a ``.bin`` of the same name the weights.
        float16: store the weights in half precision. What they are computed in is for those to say
            who compile the model (INFERENCE_PRECISION_HINT).
    """
    import openvino

    with silenced():
        model = openvino.convert_model(onnx_file)
        for operator in model.get_ops():
            if operator.get_type_name() == "TopK":
                # The lower index of equal values comes first, as ONNX says.
                operator.set_attribute("stable", True)
        openvino.save_model(model, xml_file, compress_to_fp16=float16)
