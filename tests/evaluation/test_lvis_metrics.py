"""LVIS's figures against their description."""

import copy
import math

import numpy as np
import pytest

from segsuite.evaluation import lvis_figures
from tests.helpers import requires_coco_tiny

from .coco_data import coco_tiny, detections_near, made_up
from .lvis_reference import lvis_like, lvis_reference


def check(content, detections, task):
    got = lvis_figures(content, detections, task).summary
    expected = lvis_reference(content, detections, task)
    assert list(got) == list(expected)
    for name, value in expected.items():
        assert got[name] == pytest.approx(math.nan if value < 0 else value, abs=1e-9, nan_ok=True)
    return got


@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(4))
def test_made_up_ground_truth(seed, task):
    content = lvis_like(made_up(seed), seed, negatives=2)
    check(content, detections_near(content, seed), task)


@requires_coco_tiny
@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_real_ground_truth(task):
    content = lvis_like(coco_tiny(), 0, negatives=12)
    got = check(content, detections_near(content, 0, per_object=2), task)
    assert 0.3 < got["AP"] < 0.7 and not any(math.isnan(v) for v in got.values())


@pytest.mark.parametrize("others, found", [(299, 1), (300, 0)])
def test_the_best_300_of_an_image_count(others, found):
    """Of all categories together, also of those that are not looked at."""
    content, detections = world()
    right = {**detections[0], "score": 0.1}
    wrong = {"image_id": 7, "category_id": 2, "bbox": [0, 0, 5, 5], "score": 0.2}
    summary = lvis_figures(content, [right, *[wrong] * others], "bbox").summary
    assert summary["APr"] == pytest.approx(found)


def world(**facts):
    """One image with an object of category 1 found, and one detection of each category beside."""
    content = {
        "images": [{"id": 7, "height": 100, "width": 100, **facts}],
        "categories": [{"id": i, "name": f"c{i}", "frequency": f} for i, f in ((1, "r"), (2, "f"))],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": [60, 60, 20, 20], "area": 400},
        ],
    }
    found = [
        {"image_id": 7, "category_id": 1, "bbox": [10, 10, 40, 40], "score": 0.5},
        {"image_id": 7, "category_id": 1, "bbox": [50, 5, 40, 40], "score": 0.9},
        {"image_id": 7, "category_id": 2, "bbox": [60, 60, 20, 20], "score": 0.5},
    ]
    return content, found


@pytest.mark.parametrize(
    "facts, ap",
    [
        ({}, 0.5),
        ({"neg_category_ids": None, "not_exhaustive_category_ids": None}, 0.5),
        ({"neg_category_ids": [], "not_exhaustive_category_ids": []}, 0.5),
        ({"not_exhaustive_category_ids": [1]}, 1),
        ({"not_exhaustive_category_ids": [2]}, 0.5),
        ({"neg_category_ids": [99], "not_exhaustive_category_ids": [98, 1]}, 1),
    ],
)
def test_what_an_image_says(facts, ap):
    """Lists may be missing, null, or have categories that the file does not list."""
    content, found = world(**facts)
    figures = lvis_figures(content, found, "bbox")
    assert figures.summary["APr"] == pytest.approx(ap) and figures.summary["APf"] == pytest.approx(
        1
    )
    assert figures.ap_by_category == pytest.approx({1: ap, 2: 1})
    assert math.isnan(figures.summary["APc"])


def test_categories_that_nothing_is_known_of():
    """Detections of a category without objects count where it is known not to be there."""
    content, found = world()
    del content["annotations"][1]
    content["images"].append({"id": 8, "height": 100, "width": 100})
    content["annotations"].append(
        {"id": 3, "image_id": 8, "category_id": 2, "bbox": [0, 0, 50, 50], "area": 2500}
    )
    found.append({"image_id": 8, "category_id": 2, "bbox": [0, 0, 50, 50], "score": 0.4})
    assert lvis_figures(content, found, "bbox").summary["APf"] == pytest.approx(1)
    content["images"][0]["neg_category_ids"] = [2]
    assert lvis_figures(content, found, "bbox").summary["APf"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "frequency, told",
    [
        ({"frequency": "x"}, "the first is 1 ('x')"),
        ({"frequency": None}, "the first is 1 (None)"),
        ({}, "the first is 1 ('none')"),
        ({"image_count": 11}, None),
        ({"frequency": "x", "image_count": 100}, None),
    ],
)
def test_categories_without_a_frequency(frequency, told, caplog):
    """They are counted from the images of training where that is known, and else told."""
    content, found = world()
    content["categories"][0] = {"id": 1, "name": "c1", **frequency}
    summary = lvis_figures(content, found, "bbox").summary
    assert math.isnan(summary["APr"]) and summary["APf"] == pytest.approx(1)
    if told:
        assert told in caplog.text and "1 of 2 categories have no frequency" in caplog.text
        assert math.isnan(summary["APc"])
    else:
        assert not caplog.text and summary["APc"] == pytest.approx(0.5)


@pytest.mark.parametrize("count, letter", [(1, "r"), (10, "r"), (11, "c"), (100, "c"), (101, "f")])
def test_how_frequent_a_number_of_images_is(count, letter):
    content, found = world()
    content["categories"] = [{"id": i, "image_count": count} for i in (1, 2)]
    summary = lvis_figures(content, found, "bbox").summary
    assert {k for k in "rcf" if not math.isnan(summary[f"AP{k}"])} == {letter}


def test_boundaries():
    """Never more than masks, and the same where the band is all of each mask."""
    content = lvis_like(made_up(3), 3, negatives=2)
    detections = detections_near(content, 3)
    masks, narrow, wide = (
        lvis_figures(content, detections, task, dilation_ratio=ratio).summary
        for task, ratio in (("segm", 0.02), ("boundary", 0.02), ("boundary", 1.0))
    )
    assert narrow["AP"] < masks["AP"] - 0.05
    assert wide == pytest.approx(masks, nan_ok=True)


def test_ground_truth_is_left_as_it_is():
    content = lvis_like(made_up(0), 0)
    detections = detections_near(content, 0)
    before = copy.deepcopy((content, detections))
    lvis_figures(content, detections, "segm")
    assert (content, detections) == before
    assert np.isnan(lvis_figures(content, [], "bbox").ap_by_category[21])
