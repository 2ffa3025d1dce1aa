"""The evaluators of a panoptic data set, from a configuration."""

import json

import pytest

from segsuite.config import load_config
from segsuite.data import DatasetCatalog
from segsuite.data.datasets.coco_panoptic import register_coco_panoptic
from segsuite.evaluation import build_evaluator
from tests.helpers import REPO

from .test_panoptic import make_evaluator, run, write_data

CATEGORIES = ["dog", "cat", "sky", "sea"]


@pytest.fixture
def cfg(tmp_path):
    """Of the data set "made", in `tmp_path`, which has no instances file."""
    records = write_data(tmp_path)
    content = json.loads((tmp_path / "panoptic.json").read_text())
    content["images"] = [
        {"id": r["image_id"], "file_name": r["file_name"], "height": 24, "width": 32}
        for r in records
    ]
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    register_coco_panoptic("made", tmp_path / "panoptic.json", tmp_path / "panoptic", tmp_path)
    cfg = load_config(REPO / "configs/smoke/panoptic_fpn_shapes.yaml")
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 3
    yield cfg
    DatasetCatalog.remove("made")


def kinds(evaluator, folder):
    """What evaluators there are, as a file that none of them reads has them named."""
    (folder / "a.json").write_text("<html>")
    with pytest.raises(ValueError, match=r"a\.json is not a results file of any of") as caught:
        evaluator.evaluate_file(folder / "a.json")
    return str(caught.value).partition(" any of ")[2]


def test_evaluators_of_the_metadata(cfg, tmp_path):
    evaluator = build_evaluator(cfg, "made", tmp_path / "out")
    assert kinds(evaluator, tmp_path) == "SemSegEvaluator, PanopticEvaluator"
    with pytest.raises(FileNotFoundError, match=r"there is no file .*gone\.json"):
        evaluator.evaluate_file(tmp_path / "gone.json")
    records = write_data(tmp_path / "again")
    expected = run(records, make_evaluator(tmp_path / "again", tmp_path / "out"))
    assert {f"PQ-{name}" for name in CATEGORIES} <= expected.keys()
    got = evaluator.evaluate_file(tmp_path / "out" / "panoptic_results.json")
    assert got["panoptic_seg"] == pytest.approx(expected)


def test_keys(cfg, tmp_path):
    cfg.TEST.PANOPTIC.CROWDS, cfg.TEST.PANOPTIC.BOUNDARY_PQ = "all", True
    evaluator = build_evaluator(cfg, "made", tmp_path / "out")
    records = write_data(tmp_path / "again")
    expected = run(records, make_evaluator(tmp_path / "again", tmp_path / "out", crowds="all"))
    got = evaluator.evaluate_file(tmp_path / "out" / "panoptic_results.json")["panoptic_seg"]
    assert {k: v for k, v in got.items() if not k.startswith("B")} == pytest.approx(expected)
    wide = cfg.clone()
    wide.TEST.PANOPTIC.BOUNDARY_DILATION_RATIO = 1.0  # the band is all of the mask
    got_wide = build_evaluator(wide, "made").evaluate_file(tmp_path / "out/panoptic_results.json")
    assert got["BPQ"] < got["PQ"] == pytest.approx(got_wide["panoptic_seg"]["BPQ"])


def test_another_number_of_classes(cfg):
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 54
    with pytest.raises(ValueError, match=r"'made' has 3 classes.*SEM_SEG_HEAD.NUM_CLASSES is 54"):
        build_evaluator(cfg, "made")


def test_things_have_an_evaluator_of_their_own_where_there_are_instances(datasets_root, tmp_path):
    cfg = load_config(REPO / "configs/smoke/panoptic_fpn_shapes.yaml")
    evaluator = build_evaluator(cfg, "shapes_panoptic_val")
    assert kinds(evaluator, tmp_path) == "SemSegEvaluator, COCOEvaluator, PanopticEvaluator"
