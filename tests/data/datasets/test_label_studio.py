import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from segsuite.data.datasets.label_studio import decode_brush
from segsuite.errors import DataError, MissingFileError

from .exports import brush

HALF = [[0, 0], [50, 0], [50, 100], [0, 100]]


@pytest.fixture
def make(tmp_path):
    """An export of one image of 40 x 60 pixels (height x width)."""

    def make(content):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / "a.jpg")
        (tmp_path / "e.json").write_text(json.dumps(content))
        images = str(tmp_path / "images")
        return {"FORMAT": "label_studio", "ANNOTATIONS": str(tmp_path / "e.json"), "IMAGES": images}

    return make


def result(kind, label="cat", size=(40, 60), **value):
    sizes = {"original_height": size[0], "original_width": size[1]}
    return {"type": kind, "value": {**value, kind: [label]}, **sizes}


def task(*results, **keys):
    annotation = {"id": 5, "was_cancelled": False, "result": list(results), **keys}
    return {
        "id": 3,
        "data": {"image": "/data/upload/1/0badcafe-a.jpg"},
        "annotations": [annotation],
    }


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_any_brush(mask):
    assert (decode_brush(brush(mask), mask.shape) == mask).all()


def test_percent_of_width_and_height(make, read):
    (record,) = read(
        make(
            [
                task(
                    result("polygonlabels", points=HALF),
                    result("rectanglelabels", x=10, y=50, width=50, height=25, rotation=0),
                    result("rectanglelabels", x=50, y=50, width=10, height=10, rotation=90),
                    result("ellipselabels", x=50, y=50, radiusX=10, radiusY=10),
                )
            ]
        )
    )
    polygon, box, turned, ellipse = record["annotations"]
    assert polygon["bbox"] == [0, 0, 30, 40] and len(polygon["segmentation"]) == 1
    assert box["bbox"] == [6, 20, 30, 10] and "segmentation" not in box
    assert np.allclose(turned["bbox"], [26, 20, 4, 6])
    assert np.allclose(ellipse["bbox"], [24, 16, 12, 8], atol=0.3)


def test_a_task_of_several_people_and_older_names(make, read, caplog):
    mine, other = task(result("polygonlabels", points=HALF)), result("polygonlabels", points=HALF)
    mine["annotations"].append({"id": 6, "ground_truth": True, "result": [other, other]})
    mine["annotations"].insert(0, {"id": 4, "was_cancelled": True, "result": [other] * 3})
    (record,) = read(make([mine]))
    assert len(record["annotations"]) == 2
    assert "1 annotations of a task by others than the first" in caplog.text
    mine["completions"] = mine.pop("annotations")
    assert len(read(make([mine]))[0]["annotations"]) == 2


def test_an_image_that_was_turned_is_told(make, read, caplog):
    read(make([task({**result("polygonlabels", points=HALF), "image_rotation": 90})]))
    assert "1 drawn on an image that was turned in the editor" in caplog.text


def test_json_min(make, read):
    entry = {"points": HALF, "polygonlabels": ["cat"], "original_width": 60, "original_height": 40}
    (record,) = read(make([{"id": 1, "image": "https://host/x/a.jpg?v=2", "label": [entry]}]))
    assert record["annotations"][0]["bbox"] == [0, 0, 30, 40]


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (result("polygonlabels", points=HALF[:2]), "polygon has 2 points"),
        (result("polygonlabels", points=HALF, size=(60, 40)), "an image of 60 x 40 .* has 40 x 60"),
        (result("rectanglelabels", x=1, y=2, width=None, height=3), "expected numbers"),
        (result("brushlabels", format="png", rle=[1]), "format 'png'; expected rle"),
        (result("brushlabels", format="rle", rle="abc"), "rle is no list of bytes"),
        (result("brushlabels", format="rle", rle=[255] * 40), r"brush has 4294967295 values"),
        (result("brushlabels", format="rle", rle=[0, 0, 37, 128, 0]), "brush is cut short"),
        (result("polygonlabels", points=HALF) | {"value": {"polygonlabels": ["a", "b"]}}, "one"),
    ],
)
def test_what_a_result_must_not_be(make, read, drawn, message):
    with pytest.raises(DataError, match=rf"e\.json, task 3, result 0 .*{message}"):
        read(make([task(drawn)]))


def test_what_a_file_must_not_be(make, read, caplog):
    with pytest.raises(DataError, match="is no list of tasks"):
        read(make({"images": []}))
    with pytest.raises(DataError, match="task 1 names no image"):
        read(make([{"id": 1, "data": {}}]))
    with pytest.raises(MissingFileError, match=r"task 1 is of the image '/x/b\.jpg'"):
        read(make([{"id": 1, "data": {"image": "s3://bucket/x/b.jpg"}}]))


def test_what_nobody_annotated_is_no_image_without_objects(make, read, caplog):
    skipped = task(was_cancelled=True)
    untouched = {**task(), "annotations": [], "predictions": [{"result": []}]}
    assert len(read(make([task(), skipped, untouched]))) == 1
    assert "2 tasks that nobody annotated, or that were skipped" in caplog.text


def test_a_label_that_is_null(make, read):
    with pytest.raises(DataError, match=r"task 3, result 0 .* has no label"):
        read(make([task(result("polygonlabels", None, points=HALF))]))
