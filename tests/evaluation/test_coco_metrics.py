"""COCO's figures equal those that pycocotools prints, with either engine."""

import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segsuite.evaluation import coco_figures
from tests.helpers import requires_coco_tiny

from .coco_data import coco_tiny, detections_near, made_up, reference

ENGINES = ["pycocotools", "faster_coco_eval", "hotcoco"]
TASKS = ["bbox", "segm"]


def check(content, detections, engine, task):
    before = copy.deepcopy((content, detections))
    figures = coco_figures(content, detections, task, engine=engine)
    assert (content, detections) == before
    summary, by_category = reference(content, detections, task)
    assert figures.summary == pytest.approx(summary, rel=0, abs=1e-9, nan_ok=True)
    assert figures.ap_by_category == pytest.approx(by_category, rel=0, abs=1e-9, nan_ok=True)
    return figures


@pytest.fixture(params=ENGINES)
def engine(request):
    pytest.importorskip(request.param)
    return request.param


@requires_coco_tiny
@pytest.mark.parametrize("task", TASKS)
def test_real_ground_truth(task):
    content = coco_tiny()
    assert any(a["iscrowd"] for a in content["annotations"])
    detections = detections_near(content, 0, per_object=1)
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] != 90]
    pytest.importorskip("faster_coco_eval")
    figures = check(content, detections, "faster_coco_eval", task)
    assert 0.2 < figures.summary["AP"] < 0.8
    assert math.isnan(figures.ap_by_category[90])


@pytest.mark.parametrize("task", TASKS)
def test_made_up_ground_truth(engine, task):
    for seed in range(4):
        content = made_up(seed)
        figures = check(content, detections_near(content, seed), engine, task)
        assert math.isnan(figures.ap_by_category[21]) and figures.summary["AP"] > 0


@pytest.mark.parametrize("task", TASKS)
def test_more_than_a_hundred_detections_of_an_image(engine, task):
    content = made_up(0, images=2, objects=4, categories=(1, 2))
    detections = detections_near(content, 1, per_object=60)
    figures = check(content, detections, engine, task)
    best = sorted(detections, key=lambda d: -d["score"])[:20]
    assert figures.summary != coco_figures(content, best, task, engine=engine).summary


@pytest.mark.parametrize("task", TASKS)
def test_areas_at_the_limits(engine, task):
    """An object of 32^2 pixels is small and medium, one of 96^2 medium and large."""
    content = made_up(0)
    for annotation, area in zip(
        content["annotations"], [1024, 1024.5, 9216, 9215.5, 1023.5, 9216.5] * 9, strict=False
    ):
        annotation.update(area=area, iscrowd=0)
    check(content, detections_near(content, 2, jitter=1), engine, task)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), objects=st.integers(0, 4), jitter=st.sampled_from([0, 2, 9]))
def test_any_detections(seed, objects, jitter):
    pytest.importorskip("faster_coco_eval")
    content = made_up(seed, images=3, objects=objects)
    detections = detections_near(content, seed, per_object=2, jitter=jitter)
    if detections:
        for task in TASKS:
            check(content, detections, "faster_coco_eval", task)


@pytest.mark.parametrize("task", TASKS)
def test_perfect_detections(engine, task):
    content = made_up(3)
    objects = [a for a in content["annotations"] if not a["iscrowd"]]
    detections = [{**a, "score": 1.0} for a in objects]
    figures = check(content, detections, engine, task)
    # The published curve ends at 100 of 101 recalls in floating point, so 1 to rounding.
    assert figures.summary["AP"] == pytest.approx(1)


def test_no_detections(engine):
    figures = coco_figures(made_up(0), [], "segm", engine=engine)
    assert figures.summary["AP"] == figures.summary["AR100"] == 0
    assert math.isnan(figures.ap_by_category[21])


def test_no_objects(engine):
    content = {**made_up(0), "annotations": []}
    detection = {"image_id": 5, "category_id": 3, "bbox": [0, 0, 9, 9], "score": 0.5}
    figures = coco_figures(content, [detection], "bbox", engine=engine)
    assert all(math.isnan(v) for v in figures.summary.values())


def test_annotation_ids_do_not_matter(engine):
    """pycocotools takes an object with id 0 for one that nothing was matched to."""
    content = made_up(1)
    detections = detections_near(content, 1)
    expected = coco_figures(content, detections, "bbox", engine=engine)
    for annotation in content["annotations"]:
        annotation["id"] = 0
        del annotation["iscrowd"]
    plain = made_up(1)
    for annotation in plain["annotations"]:
        annotation["iscrowd"] = 0
    got = coco_figures(content, detections, "bbox", engine=engine)
    assert got.summary == coco_figures(plain, detections, "bbox", engine=engine).summary
    assert got.summary != expected.summary


def test_nothing_is_printed(engine, capsys):
    coco_figures(made_up(0), detections_near(made_up(0), 0), "segm", engine=engine)
    assert capsys.readouterr().out == ""
