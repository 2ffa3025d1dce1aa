import base64
import json

import numpy as np
import pytest
from PIL import Image

from segsuite.data import MetadataCatalog
from segsuite.errors import DataError, MissingFileError
from segsuite.structures import decode_masks, to_rle

from .exports import png

SQUARE = [[4, 4], [20, 4], [20, 16], [4, 16]]


@pytest.fixture
def make(tmp_path):
    """Files of labelme for one image of 40 x 60 pixels (height x width)."""

    def make(*shapes, **keys):
        Image.new("RGB", (60, 40)).save(tmp_path / "a b.jpg")
        content = {"version": "5.2.1", "shapes": list(shapes), "imagePath": "a b.jpg", **keys}
        content = {"imageHeight": 40, "imageWidth": 60, **content}
        (tmp_path / "a b.json").write_text(json.dumps(content))
        return {"FORMAT": "labelme", "ANNOTATIONS": str(tmp_path)}

    return make


def shape(kind, points, label="cat", **keys):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **keys}


def mask_of(annotation, size=(40, 60)):
    return decode_masks([to_rle(annotation["segmentation"], *size)], *size)[0].numpy()


def test_rectangles_circles_and_turned_rectangles(make, read):
    (record,) = read(
        make(
            shape("rectangle", [[20, 16], [4, 4]]),
            shape("circle", [[40, 20], [50, 20]]),
            shape("oriented_rectangle", [[30, 5], [35, 10], [30, 15], [25, 10]]),
        )
    )
    box, circle, diamond = record["annotations"]
    assert mask_of(box)[4:16, 4:20].all() and mask_of(box).sum() == 12 * 16
    rows, columns = np.indices((40, 60)) + 0.5
    inside = (rows - 20) ** 2 + (columns - 40) ** 2 <= 100
    # A polygon for the circle: on its border pixels may differ.
    assert (inside & mask_of(circle)).sum() / (inside | mask_of(circle)).sum() > 0.97
    assert 45 <= mask_of(diamond).sum() <= 65


def test_old_files_have_neither_types_nor_sizes(make, read, tmp_path):
    entry = make()
    content = {
        "version": "3.4.1",
        "flags": {},
        "shapes": [{"label": "cat", "line_color": None, "fill_color": None, "points": SQUARE}],
        "lineColor": [0, 255, 0, 128],
        "imagePath": "a b.jpg",
        "imageData": "x" * 1000,
    }
    (tmp_path / "a b.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    (record,) = read(entry)
    assert (record["height"], record["width"]) == (40, 60)
    assert len(record["annotations"]) == 1


@pytest.mark.parametrize(
    "name", ["a%20b.jpg", "C:\\photos\\a b.jpg", "../elsewhere/a b.jpg", None, "renamed.jpg"]
)
def test_images_by_whatever_name(make, read, name):
    (record,) = read(make(shape("polygon", SQUARE), imagePath=name))
    assert record["file_name"].endswith("a b.jpg")


def test_images_in_a_folder_of_their_own(make, read, tmp_path):
    entry = make(shape("polygon", SQUARE))
    for sub in ("x", "y"):
        (tmp_path / "images" / sub).mkdir(parents=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / sub / "a b.jpg")
    (tmp_path / "x").mkdir()
    (tmp_path / "a b.json").rename(tmp_path / "x" / "a b.json")
    (record,) = read({**entry, "IMAGES": str(tmp_path / "images")})
    assert record["file_name"].endswith("images/x/a b.jpg")
    (tmp_path / "x" / "a b.json").rename(tmp_path / "a b.json")
    with pytest.raises(DataError, match=r"images/x/a b\.jpg and .*images/y/a b\.jpg"):
        read({**entry, "IMAGES": str(tmp_path / "images")})


def test_classes_are_sorted_or_as_given(make, read, tmp_path, caplog):
    polygons = [shape("polygon", SQUARE, label) for label in ("dog", "cat", "?")]
    entry = make(*polygons, shape("line", SQUARE[:2]), shape("point", SQUARE[:1]))
    read(entry)
    assert MetadataCatalog.get("exchange_read").thing_classes == ["?", "cat", "dog"]
    assert "1 of the type 'line'" in caplog.text and "shape 3 (from 0)" in caplog.text
    chosen = {**entry, "CLASSES": ["dog", "cat"], "IGNORE_CLASSES": ["?"]}
    (record,) = read(chosen)
    assert [a["category_id"] for a in record["annotations"]] == [0, 1]
    assert "1 of the ignored class '?'" in caplog.text
    with pytest.raises(DataError, match=r"shape 2 .* label '\?', which is none of the classes"):
        read({**chosen, "IGNORE_CLASSES": []})


def test_a_mask_that_is_too_large_is_not_unpacked(make, read):
    def entry(mask):
        return make(shape("mask", [[4, 4], [9, 9]], mask=mask))

    huge = base64.b64encode(png(np.ones((5000, 9000), bool))).decode()
    with pytest.raises(DataError, match=r"shape 0 .*bitmap is 5000 x 9000, the image 40 x 60"):
        read(entry(huge))
    with pytest.raises(DataError, match="a text of 10000000 characters"):
        read(entry("A" * 10_000_000))
    with pytest.raises(DataError, match="no PNG in base64"):
        read(entry("bm90IGEgcG5n"))
    with pytest.raises(DataError, match="has no pixel"):
        read(entry(base64.b64encode(png(np.zeros((6, 6), bool))).decode()))


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (shape("polygon", SQUARE[:2]), "polygon has 2 points; expected 3 or more"),
        (shape("polygon", [[1, 2], [3, float("nan")], [4, 5]]), "not a finite number"),
        (shape("polygon", [[1, 2], [3], [4, 5]]), "expected pairs of numbers"),
        (shape("polygon", None), "expected pairs of numbers"),
        (shape("rectangle", SQUARE[:1]), "rectangle has 1 points; expected 2"),
        (shape("spline", SQUARE), "shape_type is 'spline'; expected polygon, rectangle"),
    ],
)
def test_what_a_shape_must_not_be(make, read, drawn, message):
    with pytest.raises(DataError, match=rf"a b\.json, shape 0 .*{message}"):
        read(make(drawn))


def test_other_files(make, read, tmp_path):
    entry = make(shape("polygon", SQUARE))
    (tmp_path / "b.json").write_text('{"images": []}')
    with pytest.raises(DataError, match=r"b\.json has no list 'shapes'"):
        read(entry)
    (tmp_path / "b.json").write_text('{"shapes": []}')
    with pytest.raises(MissingFileError, match=r"b\.json is of the image 'b\.jpg'"):
        read(entry)
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(DataError, match=r"b\.json is not a JSON file, as labelme writes"):
        read(entry)
    with pytest.raises(MissingFileError, match="no JSON file of labelme in"):
        (tmp_path / "empty").mkdir()
        read({**entry, "ANNOTATIONS": str(tmp_path / "empty")})


@pytest.mark.parametrize("label", [None, "", " "])
def test_an_object_without_a_label_is_no_class(make, read, label):
    with pytest.raises(DataError, match=r"a b.json, shape 0 \(from 0\) has no label"):
        read(make(shape("polygon", SQUARE, label)))
