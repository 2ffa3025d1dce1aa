"""Small ground truths and results with odd values: all engines give one answer, or one error."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segsuite.errors import DataError
from segsuite.evaluation import COCOEvaluator, coco_figures

ENGINES = ["pycocotools", "hotcoco", "faster_coco_eval"]
HEIGHT, WIDTH = 60, 80
LARGE = 2**53

IDS = st.sampled_from(
    [
        [0, 1, 2],
        [LARGE - 1, LARGE, LARGE + 1],
        [-5, 3, 2**70],
        ["a", "b", "ä"],
        ["10", "9", "x"],
        [7, "7b", "c"],
    ]
)
_HALVES = [n / 2 for n in range(61)]
CORNERS = st.integers(0, 40).map(lambda n: n / 2)
SIDES = st.integers(1, 60).map(lambda n: n / 2)
BOXES = st.tuples(CORNERS, CORNERS, SIDES, SIDES).map(list)
ODD_BOXES = st.sampled_from(
    [
        *(None, [], [1, 2, 3], [1, 2, 3, 4, 5], ["1", "2", "30", "20"], [1, 2, -3, 4]),
        *([float("nan")] * 4, [1, 2, float("inf"), 4], [1e300, 1, 5, 5], "box", [0, 0, 1e9, 1e9]),
    ]
)
FLAGS = st.sampled_from([0, 1, None, "0", "1", False, True, 1.0, "yes", 2, []])
AREAS = st.sampled_from([None, 0, 50, 1024, 9216.5, float("nan"), -3, "900", "large", 1e12])
SCORES = st.sampled_from([0, 0.25, 0.5, 0.5, 1.0, -1])
ODD_SCORES = st.sampled_from([None, "0.5", "high", float("nan"), float("inf"), [0.5]])


def rectangle(box):
    x, y, w, h = (int(v) for v in box)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[y : y + h, x : x + w] = 1
    rle = coco_mask.encode(mask)
    return {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}


def polygon(box):
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


ODD_SEGMENTATIONS = st.sampled_from(
    [
        *(None, [], [[1, 2, 3, 4]], [1, 1, 9, 1, 9, 9], "text", {}, [[float("nan")] * 6]),
        *([[0, 0, 3e8, 0, 3e8, 3e8]], {"size": [9, 9], "counts": "abc"}),
        {"size": [HEIGHT, WIDTH], "counts": [10, 20]},
        {"size": [HEIGHT, WIDTH], "counts": "~~"},
        json.dumps(polygon([2, 2, 30, 20])),
    ]
)
# Odd values are rare enough for most worlds to have figures.
RARELY = st.sampled_from([*[False] * 9, True])


@st.composite
def worlds(draw):
    """The content of an instances file, and that of a file of results."""
    image_ids, category_ids = draw(IDS), draw(IDS)

    def one_of(values, odd):
        return draw(odd) if draw(RARELY) else draw(values)

    annotations = []
    for number in range(draw(st.sampled_from([5, 3, 8, 1, 0]))):
        box = draw(BOXES)
        mask = draw(st.sampled_from([rectangle, polygon]))(box)
        annotations.append(
            {
                "id": number,
                "image_id": draw(st.sampled_from(image_ids)),
                "category_id": draw(st.sampled_from(category_ids[:2])),
                "bbox": one_of(st.just(box), ODD_BOXES),
                "segmentation": one_of(st.just(mask), ODD_SEGMENTATIONS),
                "area": draw(AREAS),
                "iscrowd": one_of(st.just(0), FLAGS),
            }
        )
    plain = [a for a in annotations if is_box(a["bbox"])]
    results = []
    for _ in range(draw(st.sampled_from([6, 3, 9, 1, 0]))):
        result = {
            "image_id": draw(st.sampled_from(image_ids)),
            "category_id": draw(st.sampled_from(category_ids)),
            "bbox": draw(BOXES),
            "score": draw(SCORES),
        }
        if plain and not draw(RARELY):  # most are near an object
            of = draw(st.sampled_from(plain))
            result |= {key: of[key] for key in ("image_id", "category_id")}
            result["bbox"] = [v + draw(st.sampled_from([0, 0, 1])) for v in of["bbox"]]
        results.append({**result, "segmentation": rectangle(result["bbox"])})
    if results and draw(RARELY):
        key, values = draw(
            st.sampled_from(
                [("score", ODD_SCORES), ("bbox", ODD_BOXES), ("segmentation", ODD_SEGMENTATIONS)]
            )
        )
        results[-1][key] = draw(values)
    return {
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in image_ids],
        "categories": [{"id": c, "name": str(c)} for c in category_ids],
        "annotations": annotations,
    }, results


def is_box(box):
    """One of `BOXES`."""
    return isinstance(box, list) and len(box) == 4 and all(v in _HALVES for v in box)


def outcome(world, task, engine):
    """The figures, or the text of the error."""
    pytest.importorskip(engine)
    before = copy.deepcopy(world)
    try:
        figures = coco_figures(*world, task, engine=engine, max_detections=(3,))
    except DataError as e:
        return str(e)
    finally:
        assert repr(world) == repr(before)
    return {**figures.summary, **figures.ap_by_category}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.sampled_from(["bbox", "segm"]))
def test_engines_agree(world, task):
    expected = outcome(world, task, "pycocotools")
    for engine in ENGINES[1:]:
        got = outcome(world, task, engine)
        if isinstance(expected, str):
            assert got == expected
        else:
            assert got == pytest.approx(expected, rel=0, abs=1e-9, nan_ok=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds())
def test_file_and_content_agree(tmp_path_factory, world):
    """Files give what their content gives: boxes do not depend on masks in the file."""
    folder = tmp_path_factory.mktemp("world")
    content, results = world
    images = [{**image, "file_name": f"{n}.jpg"} for n, image in enumerate(content["images"])]
    (folder / "gt.json").write_text(json.dumps({**content, "images": images}))
    (folder / "results.json").write_text(json.dumps(results))
    try:
        evaluator = COCOEvaluator("odd", json_file=folder / "gt.json", max_detections=(3,))
        of_file = evaluator.evaluate_file(folder / "results.json")
    except DataError as e:
        assert str(folder) in str(e)
        return
    for task, figures in of_file.items():
        expected = outcome(world, task, "pycocotools")
        assert 100 * expected["AP"] == pytest.approx(figures["AP"], abs=1e-7, nan_ok=True)
        assert 100 * expected["AR@3"] == pytest.approx(figures["AR@3"], abs=1e-7, nan_ok=True)


def test_ids_are_kept_apart():
    """Ids that are one number in float64, and texts that look like numbers, are not mixed up."""
    for ids in ([LARGE, LARGE + 1], ["1", "01"], [1, "one"], [0, -1]):
        content = {
            "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in ids],
            "categories": [{"id": c, "name": str(c)} for c in ids],
            "annotations": [
                {"id": n, "image_id": i, "category_id": i, "bbox": [5 + 30 * n, 5, 20, 20]}
                for n, i in enumerate(ids)
            ],
        }
        first, second = (
            {k: a[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.5}
            for a in content["annotations"]
        )
        for engine in ENGINES:
            pytest.importorskip(engine)
            right = coco_figures(content, [first, second], "bbox", engine=engine)
            assert right.ap_by_category == pytest.approx(dict.fromkeys(ids, 1.0))
            swapped = [
                first | {"image_id": second["image_id"]},
                second | {"category_id": first["category_id"]},
            ]
            wrong = coco_figures(content, swapped, "bbox", engine=engine)
            assert wrong.ap_by_category == dict.fromkeys(ids, 0.0)
