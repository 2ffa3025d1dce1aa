"""COCOEvaluator from a configuration, and a results file evaluated without a model."""

import json

import pytest

from segsuite.config import get_cfg
from segsuite.data import DatasetCatalog, register_coco_instances
from segsuite.engine import DefaultTrainer
from segsuite.evaluation import COCOEvaluator, build_evaluator

from .coco_data import detections_near, made_up


@pytest.fixture
def cfg(tmp_path):
    """Of the data set "made", in `tmp_path`."""
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(made_up(0)))
    register_coco_instances("made", {}, path, tmp_path)
    cfg = get_cfg()
    cfg.DATASETS.TEST = ("made",)
    cfg.MODEL.MASK_ON = True
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 4
    cfg.OUTPUT_DIR = str(tmp_path / "out")
    yield cfg
    DatasetCatalog.remove("made")


def test_evaluator_of_the_metadata(cfg):
    assert isinstance(build_evaluator(cfg, "made"), COCOEvaluator)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 80
    with pytest.raises(ValueError, match=r"'made' has 4 classes, .*NUM_CLASSES is 80"):
        build_evaluator(cfg, "made")
    cfg.TEST.COCO_ENGINE = "coco"
    with pytest.raises(ValueError, match=r"TEST.COCO_ENGINE"):
        build_evaluator(cfg, "made")


def test_other_limits_of_detections(cfg, tmp_path, caplog):
    cfg.TEST.COCO_MAX_DETECTIONS = (300,)
    (tmp_path / "results.json").write_text(json.dumps(detections_near(made_up(0), 0)))
    with caplog.at_level("INFO", "segsuite"):
        results = DefaultTrainer.test_results(cfg, tmp_path / "results.json")
    assert results["segm"]["AP@300"] == results["segm"]["AP"] > 0
    assert "AP@300" in caplog.text  # the table


@pytest.mark.parametrize("read_first", [False, True])
def test_results_file(cfg, tmp_path, read_first):
    if read_first:  # which adds to the metadata
        DatasetCatalog.get("made")
    (tmp_path / "results.json").write_text(json.dumps(detections_near(made_up(0), 0)))
    results = DefaultTrainer.test_results(cfg, tmp_path / "results.json")
    assert results["segm"]["AP"] > 0
    figures = json.loads((tmp_path / "out/evaluation/made/coco_evaluation.json").read_text())
    assert figures["results"]["bbox"]["AP"] == results["bbox"]["AP"] > 0


def test_results_file_of_several_data_sets(cfg):
    cfg.DATASETS.TEST = ("made", "made")
    with pytest.raises(ValueError, match=r"on one data set, DATASETS.TEST is \('made', 'made'\)"):
        DefaultTrainer.test_results(cfg, "results.json")
