"""Exported files of toy models, made of a few operators and without PyTorch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import onnx.parser

from segsuite.runtime import ExportMetadata
from segsuite.runtime.metadata import attach_to_onnx, attach_to_openvino

HEADER = '<ir_version: 9, opset_import: ["" : 18]>'
# Label 1 where the mean of the channels, brought to the size wanted, is above 127.5.
SEMANTIC = """
toy (uint8[n, 3, h, w] images, int64[2] size) => (uint8[n, a, b] labels, float[n, a, b] confidence)
{
  x = Cast<to = 1>(images)
  one = Constant<value_ints = [1]>()
  mean = ReduceMean<keepdims = 1>(x, one)
  shape = Shape<start = 0, end = 2>(mean)
  sizes = Concat<axis = 0>(shape, size)
  resized = Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">(mean, , , sizes)
  flat = Squeeze(resized, one)
  half = Constant<value_float = 127.5>()
  bright = Greater(flat, half)
  labels = Cast<to = 2>(bright)
  most = Constant<value_float = 255.0>()
  confidence = Div(flat, most)
}
"""
# The same at the input's size, which is fixed.
FIXED = """
toy (uint8[1, 3, 8, 12] images) => (uint8[1, 8, 12] labels, float[1, 8, 12] confidence)
{
  x = Cast<to = 1>(images)
  one = Constant<value_ints = [1]>()
  flat = ReduceMean<keepdims = 0>(x, one)
  half = Constant<value_float = 127.5>()
  bright = Greater(flat, half)
  labels = Cast<to = 2>(bright)
  most = Constant<value_float = 255.0>()
  confidence = Div(flat, most)
}
"""
# Logits (N, 2, h, w): minus and plus the mean of the channels.
BARE = """
toy (float[n, 3, h, w] images) => (float[n, 2, h, w] logits)
{
  one = Constant<value_ints = [1]>()
  mean = ReduceMean<keepdims = 1>(images, one)
  minus = Neg(mean)
  logits = Concat<axis = 1>(minus, mean)
}
"""
# Two detections and a row that is none, whatever the image: the second lies outside of it.
INSTANCES = """
toy (uint8[n, 3, h, w] images) => (float[n, 3, 4] boxes, float[n, 3] scores, int64[n, 3] classes,
                                   float[n, 3, 2, 2] masks, int64[n] count)
<float[1, 3, 4] boxes = {2, 3, 12, 9, 900, 900, 950, 950, 0, 0, 0, 0},
 float[1, 3] scores = {0.9, 0.8, 0},
 int64[1, 3] classes = {1, 0, 0},
 float[1, 3, 2, 2] masks = {1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0},
 int64[1] count = {2}>
{
  unused = Shape(images)
}
"""


def metadata(**others) -> ExportMetadata:
    facts = {
        "task": "semantic",
        "segsuite_version": "0.1.0",
        "meta_architecture": "SemanticSegmentor",
        "classes": ["dark", "bright"],
        "colors": [[10, 20, 30], [200, 100, 50]],
        "pixel_format": "RGB",
        "in_channels": 3,
        "mean": [127.5, 127.5, 127.5],
        "std": [1.0, 1.0, 1.0],
        "resize": {"min_size": 16, "max_size": 40},
        "dynamic": {"batch": True, "size": True},
        "input_size": [16, 24],
        "inputs": ["images", "size"],
        "outputs": ["labels", "confidence"],
    }
    return ExportMetadata(**{**facts, **others})


FIXED_SIZE = {
    "dynamic": {"batch": False, "size": False},
    "input_size": [8, 12],
    "inputs": ["images"],
    "resize": None,
}
INSTANCE_FACTS = {
    "task": "instances",
    "meta_architecture": "GeneralizedRCNN",
    "inputs": ["images"],
    "outputs": ["boxes", "scores", "classes", "masks", "count"],
}


def write_onnx(path: Path, graph: str = SEMANTIC, **facts) -> Path:
    """A toy's ``.onnx``, with metadata."""
    onnx.save(onnx.parser.parse_model(HEADER + graph), path)
    attach_to_onnx(path, metadata(**facts))
    return path


def write_openvino(folder: Path, graph: str = SEMANTIC, **facts) -> Path:
    """The folder of a toy's OpenVINO model, with metadata."""
    import openvino

    model = openvino.convert_model(write_onnx(folder.with_suffix(".onnx"), graph, **facts))
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    attach_to_openvino(folder / "model.xml", metadata(**facts))
    return folder


def changed(original: ExportMetadata, **facts) -> ExportMetadata:
    return dataclasses.replace(original, **facts)
