"""An exported file in the place of a run: the same pictures, the same figures."""

from __future__ import annotations

import argparse
import functools

import numpy as np
import pytest
import torch
from PIL import Image

import segsuite
from segsuite.cli import arguments
from segsuite.data import DatasetCatalog, MetadataCatalog
from segsuite.errors import ConfigError, DataError, MissingFileError, WeightsError
from segsuite.modeling import ExportedSegmentor
from segsuite.predict import Predictor, predict_files
from segsuite.predict.serve import answer
from segsuite.runs import exported_config
from segsuite.runtime import ExportedModel
from tests.engine.tiny import run
from tests.engine.tiny_coco import coco_config
from tests.finished_runs import tiny_images, tiny_run
from tests.runtime import toys


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The tiny run as ONNX."""
    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    segsuite.export(tiny_run(), path)
    return path


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """By kind, a run that has learnt its four images of instances or segments."""

    @functools.cache
    def train(kind):
        folder = tmp_path_factory.mktemp(kind) / "run"
        run(coco_config(kind), ["OUTPUT_DIR", str(folder), "SOLVER.MAX_ITER", 80])
        return folder

    return train


@pytest.fixture
def toy(tmp_path):
    return toys.write_onnx(tmp_path / "toy.onnx", resize=None)


@pytest.fixture
def toy_data(tmp_path):
    """A data set with the toy's classes in the other order, and the ground truth that it finds."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, 10:] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(np.where(pixels[..., 0] > 0, 0, 1).astype(np.uint8)).save(tmp_path / "l.png")
    record = {
        "file_name": str(tmp_path / "a.png"),
        "sem_seg_file_name": str(tmp_path / "l.png"),
        "image_id": "a",
        "height": 20,
        "width": 30,
    }
    DatasetCatalog.register("toy_val", lambda: [record])
    facts = {"stuff_classes": ["bright", "dark"], "evaluator_type": "sem_seg", "ignore_label": 255}
    MetadataCatalog.get("toy_val").set(**facts)
    yield "toy_val"
    DatasetCatalog.remove("toy_val")


class TestPredictor:
    def test_same_predictions_and_pictures(self, exported):
        of_run, of_file = Predictor(tiny_run()), Predictor(exported)
        for image in tiny_images():
            expected, prediction = of_run(image), of_file(image)
            assert np.array_equal(prediction.labels, expected.labels)
            np.testing.assert_allclose(prediction.confidence, expected.confidence, atol=1e-4)
            assert np.array_equal(prediction.draw(), expected.draw())
            assert prediction.found() == expected.found()

    def test_same_as_without_pytorch(self, exported):
        image = tiny_images()[0]
        prediction, result = Predictor(exported)(image), ExportedModel(exported)(image)
        assert np.array_equal(prediction.labels, result.labels)
        assert np.array_equal(prediction.draw(), result.draw())
        labels = prediction.label_image(), result.label_image()
        assert labels[0].getpalette() == labels[1].getpalette()

    def test_files_and_the_page(self, toy, tmp_path):
        predictor = Predictor(toy, ["MODEL.EXPORTED.THREADS", 1])
        image = tmp_path / "i.png"
        Image.fromarray(np.full((9, 14, 3), 255, np.uint8)).save(image)
        failures = predict_files(predictor, {"i": str(image)}, tmp_path / "out")
        assert failures == []
        assert (np.asarray(Image.open(tmp_path / "out" / "labels" / "i.png")) == 1).all()
        shown = answer(predictor, image, 1 << 20, reader=predictor.reader)
        assert [c.name for c in shown.classes] == ["bright"]
        assert shown.classes[0].color == (200, 100, 50)

    def test_instances(self, tmp_path):
        path = toys.write_onnx(tmp_path / "m.onnx", toys.INSTANCES, **toys.INSTANCE_FACTS)
        image = np.zeros((30, 50, 3), np.uint8)
        prediction, result = Predictor(path)(image), ExportedModel(path)(image)
        assert prediction.found() == {"bright": 1}
        assert torch.equal(prediction.instances.pred_masks.tensor, torch.from_numpy(result.masks))
        (entry,) = prediction.coco_results(7)
        assert entry["category_id"] == 1 and entry["segmentation"]["size"] == [30, 50]

    def test_scenes_are_refused(self, toy, tmp_path):
        with pytest.raises((ConfigError, DataError), match="ExportedSegmentor"):
            Predictor(toy).predict_scene(tmp_path / "a.tif", tmp_path)

    def test_a_bare_network(self, tmp_path):
        facts = {"bare": True, "inputs": ["images"], "outputs": ["logits"], "resize": None}
        path = toys.write_onnx(tmp_path / "m.onnx", toys.BARE, **facts)
        assert (Predictor(path)(np.full((9, 9, 3), 200, np.uint8)).labels == 1).all()


class TestEvaluation:
    def test_same_figures(self, exported, tmp_path):
        options = {"OUTPUT_DIR": str(tmp_path / "run"), "TEST.REPORT": False}
        weights = {"MODEL.WEIGHTS": str(tiny_run() / "model_final.pth")}
        expected = segsuite.evaluate(tiny_run(), overrides={**options, **weights})
        options["OUTPUT_DIR"] = str(tmp_path / "file")
        found = segsuite.evaluate(exported, data=tiny_run(), overrides=options)
        for name, value in expected["sem_seg"].items():
            assert found["sem_seg"][name] == pytest.approx(value, abs=0.05), name

    @pytest.mark.slow
    @pytest.mark.parametrize("format, name", [("onnx", "m.onnx"), ("openvino", "m")])
    @pytest.mark.parametrize("kind, figures", [("instances", ["AP"]), ("panoptic", ["AP", "PQ"])])
    def test_same_figures_of_instances(self, learned, tmp_path, kind, figures, format, name):
        folder = learned(kind)
        segsuite.export(folder, tmp_path / name, format=format)
        options = {"OUTPUT_DIR": str(tmp_path / "file"), "TEST.REPORT": False}
        found = segsuite.evaluate(tmp_path / name, data=folder, overrides=options)
        expected = segsuite.Run(folder).evaluations[f"tiny_{kind}"].results
        for task, values in expected.items():
            for figure in (key for key in values if key in figures):
                assert values[figure] > 20, f"{task}/{figure}"
                assert found[task][figure] == pytest.approx(values[figure], abs=0.05), figure

    def test_classes_in_another_order(self, toy, toy_data, tmp_path):
        options = {"OUTPUT_DIR": str(tmp_path / "o"), "TEST.REPORT": False}
        found = segsuite.evaluate(toy, dataset=toy_data, overrides=options)
        assert found["sem_seg"]["mIoU"] == 100
        assert found["sem_seg"]["IoU-dark"] == 100
        assert (tmp_path / "o" / "evaluation" / "toy_val" / "sem_seg_evaluation.json").exists()

    def test_other_classes_are_refused(self, tmp_path, toy_data):
        path = toys.write_onnx(tmp_path / "m.onnx", classes=["dark", "red"])
        message = r"m\.onnx predicts 2 classes, red among them, and data set 'toy_val' has 2 "
        with pytest.raises(ConfigError, match=message + "classes, bright among them"):
            segsuite.evaluate(path, dataset=toy_data, overrides={"OUTPUT_DIR": str(tmp_path / "o")})

    def test_other_tasks_are_refused(self, tmp_path, toy_data):
        path = toys.write_onnx(tmp_path / "m.onnx", toys.INSTANCES, **toys.INSTANCE_FACTS)
        with pytest.raises(ConfigError, match="predicts instances, and data set 'toy_val' has"):
            segsuite.evaluate(path, dataset=toy_data, overrides={"OUTPUT_DIR": str(tmp_path / "o")})

    def test_data_goes_with_a_file(self):
        with pytest.raises(ConfigError, match="goes with an exported file"):
            segsuite.evaluate("output/run", data="output/other")


class TestConfig:
    @pytest.mark.parametrize(
        "overrides, message",
        [
            (["TEST.AUG.ENABLED", True], r"TEST\.AUG can't be had"),
            (["TEST.SLIDING_WINDOW.ENABLED", True], r"TEST\.SLIDING_WINDOW can't be had"),
            (["MODEL.SEM_SEG_HEAD.NUM_CLASSES", 7], r"NUM_CLASSES is fixed in the exported file"),
            (["INPUT.FORMAT", "BGR"], r"INPUT\.FORMAT is fixed"),
            (["MODEL.WEIGHTS", "other.pth"], r"MODEL\.WEIGHTS is fixed"),
        ],
    )
    def test_what_is_in_the_file_stays(self, toy, overrides, message):
        with pytest.raises(ConfigError, match=message):
            exported_config(toy, overrides)

    def test_what_may_be_chosen(self, toy):
        cfg = exported_config(toy, ["INPUT.MIN_SIZE_TEST", 64, "MODEL.EXPORTED.DEVICE", "cpu"])
        assert cfg.INPUT.MIN_SIZE_TEST == 64 and cfg.OUTPUT_DIR == "output/toy_onnx"

    def test_what_a_run_does_besides_is_left_out(self, toy, caplog):
        data = exported_config(toy)
        data.TEST.AUG.ENABLED = True
        cfg = exported_config(toy, data=data)
        assert not cfg.TEST.AUG.ENABLED and "TEST.AUG is left out" in caplog.text

    @pytest.mark.parametrize("kind", ["RGB", "BGR", "L", "bands"])
    def test_how_images_are_read(self, tmp_path, kind):
        channels = {"L": 1, "bands": 5}.get(kind, 3)
        path = toys.write_onnx(
            tmp_path / "m.onnx",
            pixel_format=kind,
            in_channels=channels,
            mean=[0.0] * channels,
            std=[1.0] * channels,
            bands=[4, 0, 1, 2, 3] if kind == "bands" else [],
        )
        cfg = exported_config(path)
        assert {"bands": "RGB"}.get(kind, kind) == cfg.INPUT.FORMAT
        assert len(cfg.MODEL.PIXEL_MEAN) == channels and len(cfg.INPUT.BANDS) in (0, 5)


class TestModel:
    def test_load(self, toy):
        model = segsuite.load(toy)
        assert isinstance(model, ExportedSegmentor) and "ONNX Runtime" in repr(model)
        record = {"image": torch.full((3, 8, 9), 255, dtype=torch.uint8), "height": 4, "width": 5}
        (outputs,) = model([record])
        assert outputs["sem_seg"].size == (4, 5) and outputs["sem_seg"].num_labels == 2
        with pytest.raises(DataError, match=r"\(4, 8, 9\).*takes 3 channels"):
            model([{"image": torch.zeros(4, 8, 9, dtype=torch.uint8)}])
        with pytest.raises(ConfigError, match="can't be trained"):
            model.train()([record])

    def test_missing_and_damaged_files(self, toy):
        with pytest.raises(MissingFileError, match="no exported model"):
            segsuite.load("none.onnx")
        toy.write_bytes(toy.read_bytes()[:-20])
        with pytest.raises(WeightsError, match="damaged"):
            Predictor(toy)


class TestCommandLine:
    def parse(self, *words):
        parser = argparse.ArgumentParser()
        arguments.add_model(parser)
        arguments.add_overrides(parser)
        return arguments.load_from_arguments(arguments.parse(parser, words))

    def test_a_file(self, toy):
        cfg = self.parse(str(toy), "MODEL.EXPORTED.THREADS", "2")
        assert str(toy) == cfg.MODEL.WEIGHTS and cfg.MODEL.EXPORTED.THREADS == 2

    def test_a_file_and_where_the_data_is(self, toy):
        cfg = self.parse(str(toy), "--run-dir", str(tiny_run()))
        assert cfg.DATASETS.TEST == ("tiny_val",) and str(toy) == cfg.MODEL.WEIGHTS

    def test_a_run_by_its_folder_alone(self):
        assert str(tiny_run()) == self.parse(str(tiny_run())).OUTPUT_DIR

    def test_nothing_and_too_much(self):
        with pytest.raises(ConfigError, match="no model is named"):
            self.parse()
        with pytest.raises(ConfigError, match="are two models"):
            self.parse("output/a", "--run-dir", "output/b")
