from __future__ import annotations

import json

import pytest
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import (
    DatasetCatalog,
    MetadataCatalog,
    check_datasets,
    check_instance_dataset,
    register_coco_instances,
)

NAME = "test_instance_checks"


@pytest.fixture
def folder(tmp_path):
    """Eight images of 12 x 8 pixels with one object each; ``content`` writes the annotations."""
    for i in range(8):
        Image.new("RGB", (12, 8)).save(tmp_path / f"{i}.jpg")
    write(tmp_path)
    register_coco_instances(NAME, {}, tmp_path / "a.json", tmp_path)
    yield tmp_path
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def write(folder, **facts):
    polygon = [1, 1, 5, 1, 5, 5, 1, 5]
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 8, "width": 12} for i in range(8)],
        "categories": [{"id": 1, "name": "a"}, {"id": 3, "name": "b"}],
        "annotations": [
            {"id": 10 + i, "image_id": i, "category_id": 3, "bbox": [1, 1, 4, 4]}
            | {"segmentation": [polygon]}
            | facts
            for i in range(8)
        ],
    }
    (folder / "a.json").write_text(json.dumps(content))


def check(**kwargs):
    check_instance_dataset(NAME, **{"num_classes": 2, **kwargs})


def test_a_good_data_set(folder):
    check()
    write(folder, segmentation=[])
    check(use_masks=False)


def test_the_number_of_classes(folder):
    with pytest.raises(ValueError, match=r"2 classes of objects \(a, b\) but MODEL\.ROI_HEADS"):
        check(num_classes=80)


def test_no_mask(folder):
    write(folder, segmentation=[])
    with pytest.raises(ValueError, match=r"boxes but no mask; set MODEL\.MASK_ON False"):
        check()


def test_missing_damaged_and_turned_images(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (12, 8)).save(folder / "2.jpg", exif=exif)
    Image.new("RGB", (13, 8)).save(folder / "3.jpg")
    (folder / "5.jpg").unlink()
    (folder / "6.jpg").write_text("<html>")
    with pytest.raises(ValueError) as e:
        check()
    message = str(e.value)
    assert f"data set '{NAME}': 4 of 8 images can't be used" in message
    assert "2.jpg has 12 x 8 pixels, its annotations are for 8 x 12" in message
    assert "3.jpg has 8 x 13 pixels" in message and message.count("EXIF") == 1
    assert "no image file" in message and "6.jpg (6 bytes) is not an image" in message
    check(read_images=False)


def test_records_of_ones_own(folder):
    name = NAME + "_records"
    annotation = {"id": 4, "bbox": [1, 1, 2, 2], "category_id": 2, "iscrowd": 0}
    record = {"file_name": str(folder / "0.jpg"), "image_id": 0, "annotations": [annotation]}
    DatasetCatalog.register(name, lambda: [record])
    try:
        with pytest.raises(ValueError, match="annotation 4 has the class 2; expected 0 to 1"):
            check_instance_dataset(name, num_classes=2, use_masks=False)
    finally:
        DatasetCatalog.remove(name)


def test_checked_before_training(folder):
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (NAME,)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES, cfg.MODEL.MASK_ON = 2, True
    check_datasets(cfg)
    (folder / "5.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 of 8 images can't be used:\nno image file .*5\.jpg"):
        check_datasets(cfg)
    cfg.DATALOADER.CHECK_LABELS = False
    check_datasets(cfg)
    write(folder, category_id=2)
    with pytest.raises(ValueError, match=r"8 of a category [\s\S]*category_id 2"):
        check_datasets(cfg)
