"""Instances by LVIS's rules, and Boundary AP, in the evaluator."""

import json
import math

import pytest

from segsuite.config import get_cfg
from segsuite.data import (
    DatasetCatalog,
    MetadataCatalog,
    register_coco_instances,
    register_lvis_instances,
)
from segsuite.evaluation import (
    COCOEvaluator,
    LVISEvaluator,
    build_evaluator,
    coco_figures,
    lvis_figures,
)

from .coco_data import detections_near, made_up, make_records, run, write
from .lvis_reference import lvis_like

NAME = "made_lvis"
LVIS_FIGURES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"]
LVIS_FIGURES += ["AR@300", "ARs@300", "ARm@300", "ARl@300"]


@pytest.fixture
def made(tmp_path):
    """A file, its content and detections."""
    content = lvis_like(made_up(0), 0, negatives=2)
    return write(tmp_path, content), content, detections_near(content, 0)


@pytest.fixture
def cfg(made, tmp_path):
    """Of the data set `NAME`, which is registered by the test."""
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 4
    (tmp_path / "results.json").write_text(json.dumps(made[2]))
    yield cfg
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def check(results, content, detections, figures=lvis_figures, tasks=("bbox", "segm")):
    assert list(results) == list(tasks)
    for task in tasks:
        expected = figures(content, detections, task)
        names = {c["id"]: f"AP-{c['name']}" for c in content["categories"]}
        expected = expected.summary | {names[c]: ap for c, ap in expected.ap_by_category.items()}
        expected = {name: 100 * value for name, value in expected.items()}
        assert results[task] == pytest.approx(expected, rel=0, abs=1e-7, nan_ok=True)


def test_predictions_and_files(made, tmp_path):
    """What the ground truth says of its images decides."""
    path, content, detections = made
    out = tmp_path / "out"
    evaluator = COCOEvaluator(NAME, json_file=path, output_dir=out)
    results = run(make_records(content, detections), evaluator)
    assert [name for name in results["segm"] if "-" not in name] == LVIS_FIGURES
    check(results, content, json.loads((out / "coco_instances_results.json").read_text()))
    figures = json.loads((out / "coco_evaluation.json").read_text())
    assert figures["rules"] == "lvis" and figures["max_detections"] == [300]
    assert figures["results"]["bbox"]["AP"] == results["bbox"]["AP"]
    assert len(figures["pr_curves"]["segm"]["0.50"]) == 101


@pytest.mark.parametrize("register", [register_coco_instances, register_lvis_instances])
def test_from_a_configuration(cfg, made, tmp_path, register):
    path, content, detections = made
    register(NAME, {}, path, tmp_path)
    evaluator = build_evaluator(cfg, NAME)
    assert isinstance(evaluator, LVISEvaluator) == (register is register_lvis_instances)
    check(evaluator.evaluate_file(tmp_path / "results.json"), content, detections)
    cfg.TEST.INSTANCES.RULES = "coco"
    results = build_evaluator(cfg, NAME).evaluate_file(tmp_path / "results.json")
    check(results, content, detections, coco_figures)
    cfg.TEST.INSTANCES.RULES = "any"
    with pytest.raises(ValueError, match=r"'any'.*TEST\.INSTANCES\.RULES"):
        build_evaluator(cfg, NAME)


def test_a_file_that_says_nothing_of_its_images(cfg, made, tmp_path):
    """COCO's rules, unless LVIS's are asked for: then objects alone say what to look at."""
    path, content, detections = made
    for image in content["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
    path.write_text(json.dumps(content))
    register_coco_instances(NAME, {}, path, tmp_path)
    results = build_evaluator(cfg, NAME).evaluate_file(tmp_path / "results.json")
    check(results, content, detections, coco_figures)
    results = LVISEvaluator(NAME).evaluate_file(tmp_path / "results.json")
    check(results, content, detections)


def test_a_cut_out(cfg, made, tmp_path, caplog):
    """A category and its objects are left out, but not what images say of it; some images count."""
    path, content, detections = made
    gone = content["categories"].pop(0)["id"]
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] != gone]
    path.write_text(json.dumps(content))
    ids = [image["id"] for image in content["images"]][1:4]
    register_lvis_instances(NAME, {"image_ids": ids}, path, tmp_path)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    detections = [d for d in detections if d["category_id"] != gone and d["image_id"] in ids]
    (tmp_path / "results.json").write_text(json.dumps(detections))
    results = build_evaluator(cfg, NAME).evaluate_file(tmp_path / "results.json")
    assert f"name categories that the file does not list: {gone}" in caplog.text
    few = {
        **content,
        "images": [image for image in content["images"] if image["id"] in ids],
        "annotations": [a for a in content["annotations"] if a["image_id"] in ids],
    }
    check(results, few, detections)
    assert results["bbox"]["AP"] > 0


def test_records_without_a_file(made):
    """What records of a function say of images counts as well."""
    path, content, detections = made
    register_lvis_instances("made_file", {}, path, path.parent)
    records = list(DatasetCatalog.get("made_file"))
    DatasetCatalog.register(NAME, lambda: records)
    ids = MetadataCatalog.get("made_file").thing_dataset_id_to_contiguous_id
    names = [c["name"] for c in content["categories"]]
    MetadataCatalog.get(NAME).set(thing_classes=names, thing_dataset_id_to_contiguous_id=ids)
    results = run(make_records(content, detections), COCOEvaluator(NAME))
    for name in ("made_file", NAME):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    unknown = [{**c, "frequency": None} for c in content["categories"]]
    check(results, {**content, "categories": unknown}, detections)
    assert math.isnan(results["bbox"]["APr"])


def test_limits_of_detections(made, caplog):
    """The model's is told where it is below LVIS's 300."""
    path, content, detections = made
    records = make_records(content, detections)
    for limit, told in ((300, False), (None, False), (100, True)):
        caplog.clear()
        run(records, LVISEvaluator(NAME, json_file=path, detections_per_image=limit))
        assert ("TEST.DETECTIONS_PER_IMAGE is 100, but by LVIS's" in caplog.text) == told
    box = {"image_id": 5, "category_id": 3, "bbox": [1, 1, 9, 9], "area": 81}
    content["annotations"] = [{**box, "id": i} for i in range(1, 302)]
    path.write_text(json.dumps(content))
    run(records, LVISEvaluator(NAME, ["bbox"], json_file=path))
    assert "image 5 has 301 objects, and by LVIS's rules the best 300" in caplog.text


@pytest.mark.parametrize("rules", ["coco", "lvis"])
def test_boundary_ap(cfg, made, tmp_path, rules):
    path, content, detections = made
    register_coco_instances(NAME, {}, path, tmp_path)
    cfg.TEST.INSTANCES.RULES, cfg.TEST.INSTANCES.BOUNDARY_AP = rules, True
    results = build_evaluator(cfg, NAME).evaluate_file(tmp_path / "results.json")
    figures = {"coco": coco_figures, "lvis": lvis_figures}[rules]
    check(results, content, detections, figures, ("bbox", "segm", "boundary"))
    assert 0 < results["boundary"]["AP"] < results["segm"]["AP"] - 5
    cfg.TEST.INSTANCES.BOUNDARY_DILATION_RATIO = 1.0  # the bands are all of the masks
    results = build_evaluator(cfg, NAME).evaluate_file(tmp_path / "results.json")
    assert results["boundary"] == pytest.approx(results["segm"], nan_ok=True)
    boxes = [{k: v for k, v in d.items() if k != "segmentation"} for d in detections]
    (tmp_path / "results.json").write_text(json.dumps(boxes))
    results = build_evaluator(cfg, NAME).evaluate_file(tmp_path / "results.json")
    assert list(results) == ["bbox"]


def test_the_built_in_data_sets():
    for split in ("train", "val"):
        assert MetadataCatalog.get(f"lvis_v1_{split}").evaluator_type == "lvis"
