import numpy as np
import pytest
from PIL import Image

from segsuite.errors import ConfigError, DataError, MissingFileError

SIZE = (20, 30)


@pytest.fixture
def make(tmp_path):
    """Images and maps of them, by the folder of the maps."""

    def make(maps, size=SIZE):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", size[::-1]).save(tmp_path / "images" / "a.jpg")
        for folder, values in maps.items():
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(tmp_path / folder / "a.png")
        return {
            "FORMAT": "instance_maps",
            "IMAGES": str(tmp_path / "images"),
            "LABELS": str(tmp_path / "maps"),
        }

    return make


def numbers(dtype=np.uint16):
    values = np.zeros(SIZE, dtype)
    values[2:6, 3:9] = 1
    values[10:15, 20:30] = 40_000 if dtype is np.uint16 else 250
    values[0, 0] = values[19, 29] = 7  # an object of two parts
    return values


def test_one_class_and_numbers_that_are_no_objects(make, read):
    entry = {**make({"maps": numbers()}), "CLASSES": ["cell"]}
    (record,) = read(entry)
    assert [a["bbox"] for a in record["annotations"]] == [
        [3, 2, 6, 4],
        [0, 0, 30, 20],
        [20, 10, 10, 5],
    ]
    (record,) = read({**entry, "IGNORE_IDS": [7, 40_000]})
    assert len(record["annotations"]) == 1


def test_a_folder_for_each_class(make, read, tmp_path):
    entry = make({"maps/cat": numbers(np.uint8), "maps/dog": np.full(SIZE, 3, np.uint8)})
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "images" / "b.jpg")
    first, second = read({**entry, "CLASSES": ["dog", "cat"]})
    assert [a["category_id"] for a in first["annotations"]] == [0, 1, 1, 1]
    assert second["annotations"] == []
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(MissingFileError, match=r"maps/dog/a\.png \('dog'\) is of no image"):
        read({**entry, "CLASSES": ["dog", "cat"]})


def test_the_class_is_that_of_most_pixels(make, read):
    classes = np.zeros(SIZE, np.uint8)
    classes[2:6, 3:9], classes[10:15, 20:30] = 2, 1
    classes[10:12, 20:30] = 255
    classes[0, 0] = 1
    entry = {**make({"maps": numbers(), "classes": classes}), "CLASSES": ["cat", "dog"]}
    entry["CLASS_MAPS"] = entry["LABELS"].replace("maps", "classes")
    (record,) = read(entry)
    assert [a["category_id"] for a in record["annotations"]] == [1, 0, 0]
    make({"classes": np.zeros(SIZE, np.uint8)})
    with pytest.raises(DataError, match=r"a\.png, object 1 in .* has the classes 0 only; expected"):
        read(entry)


def test_what_maps_must_not_be(make, read):
    entry = make({"maps": numbers()})
    with pytest.raises(ConfigError, match=r"2 classes \(a, b\) do not say which class"):
        read({**entry, "CLASSES": ["a", "b"]})
    with pytest.raises(ConfigError, match="CLASSES is 'cell'; expected a list of names"):
        read({**entry, "CLASSES": "cell"})
    make({}, size=(20, 31))
    with pytest.raises(DataError, match=r"a\.png has 20 x 30 pixels, its image .* 20 x 31"):
        read({**entry, "CLASSES": ["cell"]})


def test_voc_without_a_file_or_a_list(read, tmp_path):
    entry = {"FORMAT": "voc_instances", "FOLDER": str(tmp_path), "SPLIT": "train"}
    with pytest.raises(MissingFileError, match=r"no list .*ImageSets/Segmentation/train\.txt"):
        read(entry)
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text("2007_000032\n")
    with pytest.raises(MissingFileError, match=r"names '2007_000032', but .*\.jpg is missing"):
        read(entry)


def test_a_list_of_voc_with_a_byte_order_mark(make, read, tmp_path):
    classes = np.where(numbers(np.uint8) > 0, 3, 0).astype(np.uint8)
    make({"SegmentationObject": numbers(np.uint8), "SegmentationClass": classes})
    (tmp_path / "images").rename(tmp_path / "JPEGImages")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("a\n", encoding="utf-8-sig")
    entry = {"FORMAT": "voc_instances", "FOLDER": str(tmp_path), "SPLIT": "val"}
    assert len(read(entry)) == 1
