"""A run goes out as a file, and the file says what the run's model says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import segsuite
from segsuite.errors import ConfigError, MissingFileError, UnknownNameError
from segsuite.exporting import Exported
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
