"""Trained models of instances and segments in fewer bits find what they find in float32."""

from __future__ import annotations

import functools
import weakref
from pathlib import Path

import onnx
import pytest
import torch
from PIL import Image

import segsuite
from segsuite.exporting import Exported
from segsuite.structures import pairwise_iou
from tests.engine.tiny import run
from tests.engine.tiny_coco import SIZE, coco_config, coco_files

pytestmark = pytest.mark.slow


@functools.cache
def trained(kind: str) -> Path:
    """OUTPUT_DIR of a run of `coco_config` that has learnt its four images."""
    folder = coco_files() / f"trained_{kind}"
    options = ["SOLVER.MAX_ITER", 80, "SOLVER.WARMUP_ITERS", 10, "TEST.REPORT", False]
    run(coco_config(kind), [*options, "OUTPUT_DIR", str(folder)])
    return folder


def images() -> list[Path]:
    return sorted((coco_files() / "images").glob("*.png"))


@functools.cache
def in_float32(kind: str) -> list:
    predict = segsuite.Predictor(trained(kind))
    return [predict(image) for image in images()]


def check_close(path: Path, kind: str, *, iou: float, score: float) -> None:
    """That a file finds what PyTorch finds with a score of 0.5 or more."""
    predict = segsuite.Predictor(path)
    matched = 0
    for image, expected in zip(images(), in_float32(kind), strict=True):
        given, expected = predict(image).instances, expected.instances
        expected = expected[expected.scores >= 0.5]
        same = given.pred_classes[:, None] == expected.pred_classes
        best, place = (pairwise_iou(given.pred_boxes, expected.pred_boxes) * same).max(0)
        assert (best > iou).all()
        torch.testing.assert_close(given.scores[place], expected.scores, rtol=0, atol=score)
        matched += len(expected)
    assert matched >= 6  # of seven rectangles


@functools.cache
def int8(kind: str) -> Exported:
    path = trained(kind).with_suffix(".onnx")
    return segsuite.export(trained(kind), path, precision="int8")


@pytest.mark.parametrize(
    "kind, figures",
    [("instances", ["bbox/AP", "segm/AP"]), ("panoptic", ["panoptic_seg/PQ"])],
)
def test_int8_tells_what_it_costs(kind, figures):
    losses = {loss.figure: loss for loss in int8(kind).losses}
    assert losses.keys() >= set(figures)
    for loss in losses.values():
        assert loss.before > 40
        assert abs(loss.before - loss.after) < 5, loss
    assert f"{figures[0]} on tiny_{kind}" in str(int8(kind))


@pytest.mark.parametrize("kind", ["instances", "panoptic"])
def test_int8_finds_what_float32_finds(kind):
    check_close(int8(kind).path, kind, iou=0.8, score=0.1)


@pytest.mark.parametrize("kind", ["instances", "panoptic"])
def test_int8_is_of_the_network_alone(kind):
    """Scores, boxes, NMS, RoIAlign, pasting and what a Loop has in it are in float32."""
    model = onnx.load(int8(kind).path)
    source = {name: node for node in model.graph.node for name in node.output}
    quantised, exact = set(), set()
    for node in model.graph.node:
        given = [source.get(name) for name in node.input]
        is_quantised = bool(given) and all(n and n.op_type == "DequantizeLinear" for n in given[:2])
        if node.op_type in ("Conv", "ConvTranspose", "Gemm"):
            (quantised if is_quantised else exact).add(node.input[1])
        elif node.op_type in ("RoiAlign", "NonMaxSuppression", "Sigmoid", "Softmax", "Loop"):
            assert not is_quantised, node
        for attribute in node.attribute:
            assert not any(n.op_type == "QuantizeLinear" for n in attribute.g.node)
    layers = {name.split(".")[-2] for name in exact}
    assert layers == {"objectness_logits", "anchor_deltas", "cls_score", "bbox_pred"}
    names = " ".join(quantised)
    for part in (
        "backbone.bottom_up",
        "fpn_output2",
        "rpn_head.conv",
        "fc1",
        "mask_fcn1",
        "deconv",
    ):
        assert part in names
    # A scale for each output channel.
    shapes = {x.name: list(x.dims) for x in model.graph.initializer}
    scales = [shapes[source[name].input[1]] for name in quantised]
    assert all(len(shape) == 1 and shape[0] > 1 for shape in scales)


@pytest.mark.parametrize("kind", ["instances", "panoptic"])
@pytest.mark.parametrize(
    "name, options, score",
    [
        ("a.onnx", {"precision": "float16"}, 0.01),
        ("a.pt2", {"format": "torch_export", "precision": "float16", "size": SIZE}, 0.01),
        ("a.pt2", {"format": "torch_export", "precision": "bfloat16", "size": SIZE}, 0.05),
        ("a", {"format": "openvino", "precision": "float16"}, 0.01),
    ],
)
def test_half_precision_finds_what_float32_finds(tmp_path, kind, name, options, score):
    path = tmp_path / name
    segsuite.export(trained(kind), path, **options)
    check_close(path, kind, iou=0.9, score=score)


@pytest.mark.parametrize(
    "kind",
    [
        "instances",
        pytest.param(
            "panoptic",
            marks=pytest.mark.xfail(reason="OpenVINO's int8 moves one of the boxes (IoU 0.63)"),
        ),
    ],
)
def test_int8_in_openvino_finds_what_float32_finds(tmp_path, kind):
    path = tmp_path / "a"
    segsuite.export(trained(kind), path, format="openvino", precision="int8", measure=False)
    check_close(path, kind, iou=0.8, score=0.1)


def test_half_precision_is_the_hidden_layers(tmp_path):
    path = tmp_path / "a.onnx"
    segsuite.export(trained("instances"), path, precision="float16")
    kinds = {x.name: x.data_type for x in onnx.load(path).graph.initializer if "weight" in x.name}
    exact = [name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT]
    assert {name.split(".")[-2] for name in exact} == {
        *("objectness_logits", "anchor_deltas", "cls_score", "bbox_pred")
    }


def test_calibration_reads_one_image_at_a_time(tmp_path, monkeypatch):
    """Its memory does not grow with the number of images."""
    from segsuite.exporting import writing

    alive: list[int] = []

    def counting(source, target, inputs, exact_layers):
        seen: list[weakref.ref] = []

        def watched():
            for given in inputs:
                seen.append(weakref.ref(given["images"]))
                alive.append(sum(ref() is not None for ref in seen))
                yield given
                del given

        quantize(source, target, watched(), exact_layers)

    quantize = writing.quantize_onnx
    monkeypatch.setattr(writing, "quantize_onnx", counting)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(6):
        Image.new("RGB", SIZE[::-1], (40 * i, 90, 90)).save(folder / f"{i}.png")
    options = {"calibration": folder, "measure": False, "size": SIZE, "batch": 2}
    segsuite.export(trained("instances"), tmp_path / "a.onnx", precision="int8", **options)
    assert len(alive) == 6
    assert max(alive) <= 2
