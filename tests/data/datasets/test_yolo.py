import numpy as np
import pytest
from PIL import Image

from segsuite.data import MetadataCatalog
from segsuite.data.datasets.exchange import load_annotations
from segsuite.data.datasets.yolo import YOLOReader
from segsuite.errors import ConfigError, DataError, MissingFileError

TRIANGLE = "0 0.1 0.1 0.5 0.1 0.1 0.5"


@pytest.fixture
def make(tmp_path):
    """A data set of one image of 40 x 60 pixels (height x width)."""

    def make(lines, described="train: images\nnames: [boat, buoy]\n"):
        for folder in ("images", "labels"):
            (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / "a.jpg")
        if lines is not None:
            (tmp_path / "labels" / "a.txt").write_text(lines)
        (tmp_path / "data.yaml").write_text(described)
        return {"FORMAT": "yolo", "DATA": str(tmp_path / "data.yaml"), "SPLIT": "train"}

    return make


@pytest.mark.parametrize(
    "names",
    ["[boat, buoy]", "{0: boat, 1: buoy}", "{1: buoy, 0: boat}", "{'1': buoy, '0': boat}\nnc: 2"],
)
def test_names_as_a_list_or_a_mapping(make, read, names):
    (record,) = read(make(TRIANGLE, f"train: images\nnames: {names}\n"))
    assert MetadataCatalog.get("exchange_read").thing_classes == ["boat", "buoy"]
    (annotation,) = record["annotations"]
    assert annotation["category_id"] == 0
    assert np.allclose(annotation["segmentation"][0], [6, 4, 30, 4, 6, 20])


@pytest.mark.parametrize(
    "where", ["path: .\ntrain: images", "train: [images]", "path: /gone\ntrain: ../images"]
)
def test_paths_as_exports_have_them(make, read, where):
    assert len(read(make(TRIANGLE, f"{where}\nnames: [a]\n"))) == 1


def test_a_list_of_images_in_a_text_file(make, read, tmp_path):
    entry = make(TRIANGLE, "train: train.txt\nnames: [a]\n")
    (tmp_path / "train.txt").write_text("./images/a.jpg\n\n")
    assert len(read(entry)) == 1
    (tmp_path / "train.txt").write_text("./images/b.jpg\n")
    with pytest.raises(MissingFileError, match=r"train\.txt names ./images/b\.jpg"):
        read(entry)


def test_images_without_objects(make, read, tmp_path):
    entry = make(f"{TRIANGLE}\n")
    for name in ("b", "c"):
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / f"{name}.jpg")
    (tmp_path / "labels" / "b.txt").write_text("")
    assert [len(r["annotations"]) for r in read(entry)] == [1, 0, 0]


def test_boxes_and_lines_that_occur_twice_are_told(make, read, caplog):
    (record,) = read(make(f"1 0.5 0.5 0.5 0.25\n{TRIANGLE}\n{TRIANGLE}\n"))
    box, polygon = record["annotations"]
    assert box["bbox"] == [15, 15, 30, 10] and "segmentation" not in box
    assert polygon["category_id"] == 0
    assert "1 boxes without a polygon" in caplog.text and "a.txt, line 1" in caplog.text
    assert "1 lines that occur twice" in caplog.text


def test_a_turned_image_has_the_size_that_one_sees(make, read, tmp_path):
    entry = make(TRIANGLE)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 60)).save(tmp_path / "images" / "a.jpg", exif=exif)
    (record,) = read(entry)
    assert (record["height"], record["width"]) == (40, 60)
    assert np.allclose(record["annotations"][0]["segmentation"][0], [6, 4, 30, 4, 6, 20])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.1 0.1 0.5 0.1 0.1 0.5", r"a\.txt, line 1 has the class 2; 'names' has 0 to 1"),
        ("0.5 0.1 0.1 0.5 0.1 0.1 0.5", "has the class 0.5"),
        ("0 12 8 30 4 6 20", "coordinate 30.*not pixels"),
        ("0 0.1 0.1 0.5 0.1 0.1", "has 6 numbers; expected a class and 3 corners"),
        ("0 0.1 0.1 0.5", "has 4 numbers"),
        ("0 0.1 nan 0.5 0.1 0.1 0.5", "no finite number"),
        ("boat 0.1 0.1 0.5 0.1 0.1 0.5", "expected numbers: class x0 y0"),
    ],
)
def test_what_a_line_must_not_be(make, read, line, message):
    with pytest.raises(DataError, match=message):
        read(make(line))


@pytest.mark.parametrize(
    ("described", "error", "message"),
    [
        ("train: images\n", DataError, "has no 'names'"),
        ("train: images\nnames: {0: a, 2: b}\n", DataError, "'names' has no class 1"),
        ("train: images\nnames: [a]\nnc: 3\n", DataError, "'nc' is 3, but there are 1 names"),
        ("train: images\nnames: [a, a]\n", DataError, "class 'a' is listed twice"),
        ("val: images\nnames: [a]\n", ConfigError, "has no 'train'; it has val"),
        ("train: gone\nnames: [a]\n", MissingFileError, "'train' is gone, but there is no"),
        ("train: [\n", DataError, "is not valid YAML"),
    ],
)
def test_what_the_yaml_must_not_be(make, read, described, error, message):
    with pytest.raises(error, match=message):
        read(make(TRIANGLE, described))


def test_no_labels_at_all(make, read):
    with pytest.raises(MissingFileError, match=r"none of the 1 images.*labels/a\.txt"):
        read(make(None))


def test_an_unknown_split(make, read):
    with pytest.raises(ConfigError, match="SPLIT is 'training'; expected train, val, test"):
        read({**make(TRIANGLE), "SPLIT": "training"})


def test_records_are_those_of_the_file_as_it_is_now(make, tmp_path):
    entry = make(TRIANGLE)
    reader = YOLOReader(entry["DATA"], "train")
    assert len(load_annotations(reader)[0]["annotations"]) == 1
    (tmp_path / "labels" / "a.txt").write_text(f"{TRIANGLE}\n1 0.5 0.5 0.75 0.5 0.5 0.75\n")
    assert len(load_annotations(reader)[0]["annotations"]) == 2


def test_a_number_twice_among_the_names_would_shift_the_classes(make, read):
    with pytest.raises(DataError, match=r"data.yaml has names.0 twice, in line 3 and in line 4"):
        read(make(TRIANGLE, "train: images\nnames:\n  0: boat\n  0: buoy\n  1: sail\n"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_labels_as_windows_writes_them(make, read, tmp_path, encoding):
    entry = make(TRIANGLE)
    (tmp_path / "labels" / "a.txt").write_text(TRIANGLE + "\r\n", encoding=encoding)
    assert len(read(entry)[0]["annotations"]) == 1


def test_labels_that_are_no_text(make, read, tmp_path):
    entry = make(TRIANGLE)
    (tmp_path / "labels" / "a.txt").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match=r"a.txt is not a text file in UTF-8"):
        read(entry)
