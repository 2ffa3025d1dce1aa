"""Errors by kind, against TIDE's definition written out, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segsuite.evaluation import coco_figures
from segsuite.evaluation.coco_arrays import split_images
from segsuite.evaluation.coco_errors import KINDS, ErrorEngine
from segsuite.evaluation.coco_files import read_objects
from segsuite.evaluation.coco_results import detection_columns

from .tide_reference import box_iou, tide

HEIGHT, WIDTH = 60, 80


def rle(box):
    bitmap = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    x, y, w, h = (round(v) for v in box)
    bitmap[y : y + h, x : x + w] = 1
    encoded = coco_mask.encode(bitmap)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def world(objects, detections, num_categories=2, num_images=1):
    """COCO's dicts: objects are (image, category, box, crowd), detections (image, category, box,
    score)."""
    truth = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH}
            for i in range(num_images)
        ],
        "categories": [{"id": c, "name": f"c{c}"} for c in range(num_categories)],
        "annotations": [
            {
                "id": n,
                "image_id": i,
                "category_id": c,
                "bbox": list(b),
                "area": b[2] * b[3],
                "iscrowd": crowd,
                "segmentation": rle(b),
            }
            for n, (i, c, b, crowd) in enumerate(objects, 1)
        ],
    }
    found = [
        {"image_id": i, "category_id": c, "bbox": list(b), "score": s, "segmentation": rle(b)}
        for i, c, b, s in detections
    ]
    return truth, found


def errors_of(truth, found, task="bbox", step=64):
    objects, index = read_objects(truth)
    engine = ErrorEngine(task, len(index.category_ids))
    for part in split_images(index.sizes, objects, detection_columns(found, index), step):
        engine.add(part)
    return engine.errors()


def random_world(seed):
    rng = np.random.default_rng(seed)

    def box():
        x, y = rng.integers(0, 50), rng.integers(0, 30)
        return [int(x), int(y), int(rng.integers(5, 30)), int(rng.integers(5, 30))]

    objects, detections = [], []
    for image in range(4):
        for _ in range(rng.integers(0, 6)):
            objects.append((image, int(rng.integers(3)), box(), int(rng.random() < 0.15)))
        for _ in range(rng.integers(0, 5)):
            detections.append((image, int(rng.integers(3)), box(), round(rng.random(), 1)))
    for image, category, b, _ in objects:
        for _ in range(rng.integers(0, 3)):
            moved = [b[0] + rng.integers(-6, 7), b[1] + rng.integers(-6, 7), b[2], b[3]]
            moved = [int(max(v, 0)) for v in moved]
            other = category if rng.random() < 0.7 else int(rng.integers(3))
            detections.append((image, other, moved, round(rng.random(), 1)))
    return world(objects, detections, num_categories=3, num_images=4)


def reference(truth, found, task):
    def as_entry(a):
        return {**a, "category": a["category_id"], "crowd": a.get("iscrowd", 0)}

    by_image = {image["id"]: [] for image in truth["images"]}
    of_found = {image["id"]: [] for image in truth["images"]}
    for a in truth["annotations"]:
        by_image[a["image_id"]].append(as_entry(a))
    for d in found:
        of_found[d["image_id"]].append(as_entry(d))

    def iou(d, o, crowd=False):
        if task == "bbox":
            return box_iou(d["bbox"], o["bbox"], crowd)
        return float(coco_mask.iou([d["segmentation"]], [o["segmentation"]], [crowd])[0, 0])

    return tide(by_image, of_found, iou)


@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(25))
def test_the_definition(task, seed):
    truth, found = random_world(seed)
    errors, expected = errors_of(truth, found, task, step=2), reference(truth, found, task)
    assert errors.counts == expected["counts"]
    assert errors.ap50 == pytest.approx(expected["ap50"], abs=1e-12, nan_ok=True)
    for kind in KINDS:
        cost = pytest.approx(expected["cost"][kind], abs=1e-12, nan_ok=True)
        assert errors.cost[kind] == cost, kind
    for name in ("false_positives", "false_negatives"):
        cost = pytest.approx(expected[name], abs=1e-12, nan_ok=True)
        assert getattr(errors, name) == cost
    figures = coco_figures(truth, found, task, engine="pycocotools")
    assert errors.ap50 == pytest.approx(figures.summary["AP50"], abs=1e-9, nan_ok=True)


BOX = [10, 10, 20, 20]


@pytest.mark.parametrize(
    "kind, detections",
    [
        ("class", [(0, 1, BOX, 0.9)]),
        ("localisation", [(0, 0, [20, 10, 20, 20], 0.9)]),
        ("both", [(0, 1, [20, 10, 20, 20], 0.9)]),
        ("duplicate", [(0, 0, BOX, 0.9), (0, 0, BOX, 0.8)]),
        ("background", [(0, 0, [50, 35, 20, 20], 0.9)]),
        ("missed", []),
    ],
)
def test_one_mistake(kind, detections):
    """An object of category 0; the second category keeps one that is found."""
    kept = [50, 10, 20, 20]
    truth, found = world(
        [(0, 0, BOX, 0), (0, 1, kept, 0)], [*detections, (0, 1, kept, 0.95)], num_categories=2
    )
    errors = errors_of(truth, found)
    missed = kind in ("both", "background", "missed")
    assert errors.counts == {k: int(k == kind or (missed and k == "missed")) for k in KINDS}
    if kind in ("class", "localisation"):  # put right, the object is found
        assert errors.ap50 == pytest.approx(0.5) and errors.cost[kind] == pytest.approx(0.5)
    if kind == "missed":  # without the object its category has none, and is not in the mean
        assert errors.cost["missed"] == pytest.approx(0.5)
    if kind == "duplicate":
        assert errors.ap50 == 1 and errors.cost["duplicate"] == 0


def test_perfect_and_empty():
    truth, found = world([(0, 0, BOX, 0)], [(0, 0, BOX, 0.9)])
    errors = errors_of(truth, found)
    assert errors.ap50 == 1 and not any(errors.counts.values())
    assert set(errors.cost.values()) == {0}
    nothing = errors_of(*world([], [(0, 0, BOX, 0.9)]))
    assert nothing.counts["background"] == 1
    content = nothing.as_json(["a", "b"])
    assert content["AP50"] is None and content["kinds"]["background"] == {"count": 1, "dAP": None}
    assert content["by_class"]["a"]["background"] == 1


def test_what_lies_in_a_crowd_is_no_mistake():
    truth, found = world(
        [(0, 0, BOX, 0), (0, 0, [40, 10, 30, 40], 1)],
        [(0, 0, BOX, 0.9), (0, 0, [45, 15, 10, 10], 0.8), (0, 1, [45, 15, 10, 10], 0.8)],
    )
    errors = errors_of(truth, found)
    assert errors.counts["background"] == sum(errors.counts.values()) == 1
