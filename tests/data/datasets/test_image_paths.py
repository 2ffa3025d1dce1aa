"""Names of images that another system or computer has written."""

import json

import pytest
from PIL import Image

from segsuite.data import load_coco_json
from segsuite.data.datasets.image_paths import existing_path
from segsuite.errors import DataError

FILE = "train/a b.png"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "train").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / FILE)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "train\\a b.png",
        "train/a%20b.png",
        "train\\a%20b.png",
        "/Users/anna/data/train/a b.png",
        "C:\\data\\train\\a b.png",
        "D:/train/a%20b.png",
        "https://images.example/train/a%20b.png",
    ],
)
def test_found_below_the_folder(root, name):
    assert existing_path(str(root), name) == str(root / FILE)


@pytest.mark.parametrize(
    "name", ["a b.png", "/Users/anna/a b.png", "../train/a b.png", "%2e%2e/x.png"]
)
def test_a_file_that_is_not_there_keeps_its_name(root, name):
    assert existing_path(str(root), name) == str(root / name)


def test_what_is_there_is_taken_as_it_is(root):
    for name in ("a%20b.png", "a\\b.png", "a b.png"):
        Image.new("RGB", (8, 6)).save(root / name)
        assert existing_path(str(root), name) == str(root / name)
        assert existing_path(str(root / "train"), str(root / name)) == str(root / name)


def load(root, *names):
    images = [{"id": i, "file_name": x, "height": 6, "width": 8} for i, x in enumerate(names)]
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    (root / "gt.json").write_text(json.dumps(content))
    return load_coco_json(root / "gt.json", root)


def test_it_is_told(root, caplog):
    (record,) = load(root, "/Users/anna/train/a b.png")
    assert record["file_name"] == str(root / FILE)
    assert "1 images have a file_name with the folders of another computer" in caplog.text


def test_two_images_do_not_become_one(root):
    """Two folders of another computer, of which only one is here."""
    with pytest.raises(DataError, match=r"'/b/train/a b\.png', and its last parts are those of"):
        load(root, "train/a b.png", "/b/train/a b.png")
