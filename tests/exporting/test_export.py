"""A run goes out as a file, and the file says what the run's model says."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest
import torch

import segsuite
from segsuite.errors import (
    ConfigError,
    MissingFileError,
    MissingPackageError,
    RunError,
    UnknownNameError,
)
from segsuite.exporting import Exported
from segsuite.exporting.graphs.semantic import SemanticGraph
from segsuite.layers import Conv2d
from segsuite.runtime import read_metadata
from segsuite.runtime.metadata import metadata_of_onnx
from tests.finished_runs import tiny_images, tiny_run


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    return segsuite.export(tiny_run(), path, logits=True)


@pytest.fixture(scope="module")
def session(exported: Exported) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])


def test_outputs_are_those_of_the_predictor(session):
    predict = segsuite.Predictor(tiny_run())
    for path, size in zip(tiny_images(), [(70, 90), (33, 47), (128, 64)], strict=False):
        image = predict.reader.read(path)[: size[0], : size[1]]
        prediction = predict(image)
        record = predict._mapper(image)
        labels, confidence, logits = session.run(
            None, {"images": record["image"][None].numpy(), "size": np.array(image.shape[:2])}
        )
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels[0], prediction.labels)
        np.testing.assert_allclose(confidence[0], prediction.confidence, atol=1e-5)
        full = prediction.outputs["sem_seg"].full().numpy()
        np.testing.assert_allclose(logits[0], full, atol=1e-4 * abs(full).max())


def test_metadata_is_inside(exported):
    metadata = metadata_of_onnx(exported.path)
    run = segsuite.Run(tiny_run())
    assert metadata.classes == run.classes["stuff"]
    assert metadata.outputs == ["labels", "confidence", "logits"]
    assert metadata.figures == run.evaluations[run.config.DATASETS.TEST[0]].results
    assert metadata.dynamic == {"batch": True, "size": True}


def test_differences_are_told(exported):
    assert exported.images == 3
    assert {d.what for d in exported.differences} >= {"confidence"}
    assert str(exported.path) in str(exported)
    assert "3 images" in str(exported)


@pytest.mark.parametrize(
    "output, options, error, named",
    [
        ("a.onnx", {"format": "onx"}, UnknownNameError, "onnx"),
        ("a.onnx", {"precision": "fp8"}, UnknownNameError, "float16"),
        ("a.onnx", {"size": (0, 64)}, ConfigError, "480x640"),
        ("a.onnx", {"size": (64,)}, ConfigError, "480x640"),
        ("a.onnx", {"batch": 0}, ConfigError, "whole number"),
        ("a.onnx", {"batch": 1.5}, ConfigError, "whole number"),
        ("a.onnx", {"bare": True, "logits": True}, ConfigError, "bare"),
        ("a.onnx", {"pasted": True}, ConfigError, "pasted"),
        ("a.onnx", {"calibration": "shapes_val"}, ConfigError, "int8"),
        ("a.onnx", {"precision": "int8", "calibration_images": 0}, ConfigError, "0 images"),
        ("a.onnx", {"precision": "int8", "calibration": "shape_val"}, UnknownNameError, "folder"),
        ("a.pt2", {}, ConfigError, r"\.onnx"),
        ("missing/a.onnx", {}, MissingFileError, "missing"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, output, options, error, named):
    with pytest.raises(error, match=named):
        segsuite.export(tiny_run(), tmp_path / output, **options)
    assert not [*tmp_path.iterdir()]


def test_an_output_that_exists_is_kept(tmp_path: Path):
    path = tmp_path / "a.onnx"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        segsuite.export(tiny_run(), path)
    assert path.read_text() == "mine"


def test_a_network_that_cannot_be_exported_is_named(tmp_path: Path, monkeypatch):
    def forward(self, x):
        return super(Conv2d, self).forward(x) if x.sum() > 0 else x

    tiny_run()  # is trained before it can't be exported
    monkeypatch.setattr(Conv2d, "forward", forward)
    with pytest.raises(ConfigError, match=r"network\.backbone\S+ \(Conv2d\)") as caught:
        segsuite.export(tiny_run(), tmp_path / "a.onnx")
    assert "data-dependent" in str(caught.value)
    assert len(str(caught.value)) < 600
    assert not [*tmp_path.iterdir()]


def test_a_file_that_differs_is_not_kept(tmp_path: Path, monkeypatch):
    # What the graph says no longer is what the model says.
    monkeypatch.setattr(SemanticGraph, "_decide", lambda self, logits: _worst(logits))
    with pytest.raises(RunError, match=r"differs by up to .*, more than 0\.001"):
        segsuite.export(tiny_run(), tmp_path / "a.pt2", format="torch_export", size=(64, 64))
    assert not [*tmp_path.iterdir()]


def _worst(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    least, labels = logits.min(1)
    return labels.to(torch.uint8), least


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch):
    for package, format in (("onnxscript", "onnx"), ("openvino", "openvino")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(MissingPackageError, match=rf"{package}.*segsuite-torch\[export"):
                segsuite.export(tiny_run(), tmp_path / "a.onnx", format=format)
    assert not [*tmp_path.iterdir()]


def test_settings_that_no_graph_has_are_told(tmp_path: Path):
    exported = segsuite.export(
        tiny_run(),
        tmp_path / "a.pt2",
        format="torch_export",
        size=(48, 64),
        batch=2,
        overrides={"TEST.AUG.ENABLED": True},
    )
    assert "TEST.AUG" in str(exported)
    assert read_metadata(exported.path).input_size == [48, 64]


def test_openvino_is_a_folder_that_is_whole_or_as_it_was(tmp_path: Path, monkeypatch):
    folder = tmp_path / "model"
    segsuite.export(tiny_run(), folder, format="openvino", size=(64, 96), batch=1)
    assert {path.name for path in folder.iterdir()} == {"model.xml", "model.bin"}
    before = (folder / "model.xml").read_bytes()
    monkeypatch.setattr(SemanticGraph, "_decide", lambda self, logits: _worst(logits))
    with pytest.raises(RunError):
        segsuite.export(tiny_run(), folder, format="openvino", size=(64, 96), overwrite=True)
    assert (folder / "model.xml").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something else"):
        segsuite.export(tiny_run(), tmp_path, format="openvino", overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_int8_tells_what_it_costs(tmp_path: Path):
    exported = segsuite.export(tiny_run(), tmp_path / "a.onnx", precision="int8")
    (loss,) = exported.losses
    assert loss.figure == "sem_seg/mIoU"
    assert abs(loss.before - loss.after) < 5
    assert "points" in str(exported)
    operators = {node.op_type for node in onnx.load(exported.path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "precision"),
    [("onnx", "float16"), ("openvino", "float16"), ("torch_export", "bfloat16")],
)
def test_half_precision_is_half_the_size(tmp_path: Path, format, precision):
    name = {"onnx": "a{}.onnx", "openvino": "a{}", "torch_export": "a{}.pt2"}[format]
    sizes = []
    for kind in ("float32", precision):
        path = tmp_path / name.format(kind)
        exported = segsuite.export(tiny_run(), path, format=format, precision=kind)
        sizes.append(bytes_of_weights(path))
    assert exported.metadata.precision == precision
    assert sizes[1] < 0.6 * sizes[0]


def bytes_of_weights(path: Path) -> int:
    if path.is_dir():
        return (path / "model.bin").stat().st_size
    if path.suffix == ".onnx":
        arrays = map(onnx.numpy_helper.to_array, onnx.load(path).graph.initializer)
        return sum(array.nbytes for array in arrays)
    return sum(tensor.nbytes for tensor in torch.export.load(path).state_dict.values())
