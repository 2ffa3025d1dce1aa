"""Exported files beside one another and beside PyTorch: time, memory, differences."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import segsuite
from segsuite.cli.benchmark import show_exported
from segsuite.data import DatasetCatalog
from segsuite.errors import ConfigError, RunError
from segsuite.profiling.exported import benchmark_exported, difference
from segsuite.runs import exported_config
from segsuite.runtime.measure import load_arrays, milliseconds, save_arrays
from tests.finished_runs import tiny_run
from tests.processes import run_segsuite_here
from tests.runtime import toys


@pytest.fixture
def dataset(tmp_path):
    records = []
    for i, height in enumerate((20, 30)):
        pixels = np.random.default_rng(i).integers(0, 256, (height, 25, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        records.append({"file_name": str(tmp_path / f"{i}.png"), "image_id": i})
    DatasetCatalog.register("toy_images", lambda: records)
    yield "toy_images"
    DatasetCatalog.remove("toy_images")


def detections(boxes, scores, classes, masks=None):
    arrays = {"boxes": np.array(boxes, np.float32).reshape(-1, 4)}
    arrays |= {"scores": np.array(scores, np.float32), "classes": np.array(classes)}
    return arrays if masks is None else {**arrays, "masks": masks}


class TestDifference:
    @pytest.fixture
    def compare(self, tmp_path):
        def compare(a, b):
            for name, arrays in (("a", a), ("b", b)):
                (tmp_path / name).mkdir()
                save_arrays(tmp_path / name / "0.npz", arrays)
            return difference(tmp_path / "a", tmp_path / "b", 1)

        return compare

    def test_labels(self, compare):
        a = {"labels": np.zeros((2, 5), np.uint8), "confidence": np.full((2, 5), 0.5, np.float32)}
        b = {"labels": a["labels"].copy(), "confidence": a["confidence"].copy()}
        b["labels"][0, 0], b["confidence"][1, 1] = 1, 0.75
        assert compare(a, b) == {"equal_labels": 90.0, "confidence": 0.25}

    def test_instances(self, compare):
        boxes = [[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]]
        moved = [[40.01, 40, 50, 50], [0, 0, 10, 10], [20, 23, 30, 33]]
        a = detections(boxes, [0.9, 0.8, 0.7], [1, 1, 1])
        b = detections(moved, [0.75, 0.9, 0.8], [1, 1, 1])
        found = compare(a, b)
        assert found["matched_instances"] == pytest.approx(100 * 2 / 3)
        assert found["scores"] == pytest.approx(0.05)

    def test_classes_count(self, compare):
        a, b = (detections([[0, 0, 9, 9]], [0.9], [k]) for k in (0, 1))
        assert compare(a, b)["matched_instances"] == 0

    def test_masks_count(self, compare):
        masks = np.zeros((1, 9, 9), bool)
        masks[0, 2:8, 2:8] = True
        a = detections([[0, 0, 9, 9]], [0.9], [0], masks)
        b = detections([[0, 0, 9, 9]], [0.9], [0], np.roll(masks, 1, axis=1))
        assert compare(a, b)["matched_instances"] == 0

    def test_nothing_found_twice(self, compare):
        nothing = detections([], [], [], np.zeros((0, 4, 4), bool))
        assert compare(nothing, nothing) == {"matched_instances": 100.0, "scores": 0.0}


def test_arrays_are_kept(tmp_path):
    masks = np.random.default_rng(0).random((3, 5, 7)) > 0.5
    save_arrays(tmp_path / "a.npz", {"masks": masks, "labels": None})
    loaded = load_arrays(tmp_path / "a.npz")
    assert loaded.keys() == {"masks"} and np.array_equal(loaded["masks"], masks)


def test_every_image_is_timed():
    seen = []
    assert len(milliseconds(seen.append, [1, 2])) == 2
    assert seen[-2:] == [1, 2] and len(seen) > 2


def test_files_alone(tmp_path, dataset, capsys):
    files = [toys.write_onnx(tmp_path / f"{name}.onnx") for name in "ab"]
    cfg = exported_config(files[0], ["DATASETS.TEST", (dataset,)])
    figures = benchmark_exported(files, cfg, model=None, images=9, threads=1)
    assert [row["images"] for row in figures] == [2, 2]
    assert figures[1]["difference"] == {"equal_labels": 100.0, "confidence": 0.0}
    for row in figures:
        assert 0 < row["median_ms"] <= row["p95_ms"] and row["images_per_second"] > 0
        assert row["peak_memory_mib"] is None or 10 < row["peak_memory_mib"] < 400
    show_exported(figures)
    printed = capsys.readouterr().out
    assert "a.onnx: ONNX Runtime" in printed and "equal labels: 100 %" in printed


def test_what_can_not_be_measured(tmp_path, dataset):
    path = toys.write_onnx(tmp_path / "m.onnx")
    cfg = exported_config(path)
    with pytest.raises(ConfigError, match="no images to predict"):
        benchmark_exported([path], cfg, model=None)
    cfg.DATASETS.TEST = (dataset,)
    facts = {"in_channels": 4, "mean": [0.0] * 4, "std": [1.0] * 4, "pixel_format": "bands"}
    other = toys.write_onnx(tmp_path / "four.onnx", **facts)
    with pytest.raises(RunError, match="3 channels, but the model takes 4"):
        benchmark_exported([other], cfg, model=None)


@pytest.mark.slow
def test_beside_pytorch(tmp_path, capsys):
    segsuite.export(tiny_run(), tmp_path / "m.onnx")
    words = ["--run-dir", str(tiny_run()), "--exported", str(tmp_path / "m.onnx")]
    run_segsuite_here("benchmark", *words, "--images", "3", "--json", str(tmp_path / "f.json"))
    of_pytorch, of_file = json.loads((tmp_path / "f.json").read_text())["exported"]
    assert of_pytorch["name"].startswith("PyTorch") and of_file["name"].startswith("ONNX Runtime")
    assert of_file["difference"]["equal_labels"] > 99.9
    assert of_file["difference"]["confidence"] < 1e-3
    if of_file["peak_memory_mib"] is not None:
        assert of_file["peak_memory_mib"] < of_pytorch["peak_memory_mib"]
