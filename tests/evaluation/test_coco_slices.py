"""Instances: the figures of slices are those of their images alone, and intervals hold them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from segsuite.evaluation import COCOEvaluator, coco_figures
from segsuite.evaluation.coco_arrays import split_images
from segsuite.evaluation.coco_files import read_objects
from segsuite.evaluation.coco_matching import MatchingEngine
from segsuite.evaluation.coco_metrics import figures_of, limits, named_figures
from segsuite.evaluation.coco_results import detection_columns
from segsuite.evaluation.coco_slices import SliceEngine, drawn_times, sampled_curves
from segsuite.evaluation.slices import Slices

from .test_coco_errors import world

CATEGORIES = 3


def many(seed=0, images=12):
    """Objects in all sizes, and detections on and off them, in fine scores."""
    rng = np.random.default_rng(seed)
    objects, detections = [], []
    for image in range(images):
        for _ in range(rng.integers(0, 6)):
            box = [int(v) for v in (*rng.integers(0, 25, 2), *rng.integers(5, 34, 2))]
            category = int(rng.integers(CATEGORIES))
            objects.append((image, category, box, int(rng.random() < 0.1)))
            for _ in range(rng.integers(0, 3)):
                moved = [
                    max(v + int(d), 0) for v, d in zip(box, rng.integers(-4, 5, 2), strict=False)
                ]
                other = category if rng.random() < 0.8 else int(rng.integers(CATEGORIES))
                detections.append((image, other, [*moved, *box[2:]], float(rng.random())))
    return world(objects, detections, CATEGORIES, images)


def engine_of(truth, found, task, step=5, max_detections=(1, 10, 100)):
    objects, index = read_objects(truth)
    engine = MatchingEngine(task, CATEGORIES, max_detections)
    for part in split_images(index.sizes, objects, detection_columns(found, index), step):
        engine.add(part)
    return engine


def named(curves):
    names = {c: f"c{c}" for c in range(CATEGORIES)}
    return named_figures(figures_of(curves, range(CATEGORIES)), names)


def alone(truth, found, images, copies=None):
    """pycocotools' figures of some images, each as many times as `copies` says."""
    some, detections = [], []
    truth = {**truth, "images": [], "annotations": list(truth["annotations"])}
    for image, number in zip(images, copies or [1] * len(images), strict=True):
        for _ in range(number):
            new = len(truth["images"])
            truth["images"].append({"id": new, "height": 60, "width": 80})
            some += [{**a, "image_id": new} for a in truth["annotations"] if a["image_id"] == image]
            detections += [{**d, "image_id": new} for d in found if d["image_id"] == image]
    truth["annotations"] = [{**a, "id": n} for n, a in enumerate(some, 1)]
    return truth, detections


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_a_slice_has_pycocotools_figures_of_its_images(task):
    truth, found = many()
    images = {"night": np.array([1, 4, 5, 9]), "one": np.array([7]), "none": np.array([], int)}
    engine = SliceEngine(MatchingEngine(task, CATEGORIES, (1, 10, 100)), images)
    objects, index = read_objects(truth)
    for part in split_images(index.sizes, objects, detection_columns(found, index), 5):
        engine.add(part)
    slices = engine.figures(named)
    assert list(slices) == ["night", "one"]
    for name, of_slice in slices.items():
        some = alone(truth, found, images[name].tolist())
        figures = coco_figures(*some, task, engine="pycocotools")
        expected = named_figures(figures, {c: f"c{c}" for c in range(CATEGORIES)})
        assert of_slice["images"] == len(images[name])
        assert of_slice["results"].keys() == expected.keys()
        for figure, value in expected.items():
            got = of_slice["results"][figure]
            assert (got is None) == (value != value), figure
            if got is not None:
                assert got == pytest.approx(value, abs=1e-9)
                low, high = of_slice["intervals"][figure]
                assert low - 1e-9 <= got <= high + 1e-9 or name == "night"


@pytest.mark.parametrize("seed", range(4))
def test_an_image_that_counts_twice_is_two_images(seed):
    truth, found = many(seed)
    copies = [2, 0, 1, 3, 1, 1, 0, 2, 1, 1, 0, 1]
    judged, objects = engine_of(truth, found, "bbox").judged()
    times = np.array([copies], float)
    (curves,) = sampled_curves(judged, objects, np.arange(12), times, CATEGORIES, (1, 10, 100))
    some = alone(truth, found, range(12), copies)
    expected = coco_figures(*some, "bbox", engine="pycocotools").summary
    got = figures_of(curves, range(CATEGORIES)).summary
    assert got == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_other_limits_have_their_figures_too():
    truth, found = many()
    engine = SliceEngine(MatchingEngine("bbox", CATEGORIES, limits([3])), {"all": np.arange(12)})
    objects, index = read_objects(truth)
    for part in split_images(index.sizes, objects, detection_columns(found, index)):
        engine.add(part)
    results = engine.figures(named)["all"]["results"]
    figures = coco_figures(truth, found, "bbox", max_detections=[3])
    assert results["AP@3"] == pytest.approx(100 * figures.summary["AP@3"], abs=1e-9)


def test_draws():
    times = drawn_times(7, 50)
    assert times.shape == (50, 7) and (times.sum(1) == 7).all()
    assert (times == drawn_times(7, 50)).all() and len(np.unique(times, axis=0)) > 40


def test_evaluator(tmp_path):
    truth, found = many()
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps(found))
    slices = Slices({"night": [1, 4, 5], "elsewhere": [99]})
    options = {"json_file": tmp_path / "gt.json", "slices": slices, "errors": True}
    evaluator = COCOEvaluator("slices_of_instances", output_dir=tmp_path / "out", **options)
    results = evaluator.evaluate_file(tmp_path / "found.json")
    content = json.loads((tmp_path / "out" / "coco_evaluation.json").read_text())
    assert content["slices"]["segm"] == results["segm"]["slices"]
    assert list(content["slices"]["bbox"]) == ["night"]
    assert content["errors"]["bbox"]["AP50"] == pytest.approx(results["bbox"]["AP50"])
    kinds = content["errors"]["segm"]["kinds"]
    assert list(kinds) == [
        *("class", "localisation", "both", "duplicate", "background", "missed"),
    ]
    assert set(content["errors"]["segm"]["by_class"]) == {"c0", "c1", "c2"}
    lines = (tmp_path / "out" / "slices_bbox.csv").read_text().splitlines()
    assert lines[0] == "slice,images,figure,value,low_95,high_95" and lines[1].startswith("night,3")

    plain = COCOEvaluator(
        "slices_of_instances",
        output_dir=tmp_path / "plain",
        **{**options, "slices": None, "errors": None},
    )
    results = plain.evaluate_file(tmp_path / "found.json")
    content = json.loads((tmp_path / "plain" / "coco_evaluation.json").read_text())
    assert "slices" not in results["bbox"] and not {"errors", "slices"} & content.keys()
