from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import (
    DatasetCatalog,
    DatasetMapper,
    MetadataCatalog,
    check_instance_dataset,
    check_semantic_dataset,
    load_coco_panoptic,
    read_panoptic,
    read_sem_seg,
    register_coco_panoptic,
)
from segsuite.data.panoptic import panoptic_to_annotations, panoptic_to_sem_seg
from segsuite.structures import decode_masks

NAME = "test_panoptic_set"
CATEGORIES = [
    {"id": 200, "name": "wall", "isthing": 0},
    {"id": 7, "name": "cat", "isthing": 1},
    {"id": 92, "name": "sky", "isthing": 0},
    {"id": 3, "name": "dog", "isthing": 1},
]
IDS = (0, 5, 300, 70_000, 9)


@pytest.fixture
def folder(tmp_path):
    """Five columns of two pixels: no segment, dog, wall, cat, and one the JSON does not list."""
    (tmp_path / "png").mkdir()
    segments = np.repeat(IDS, 2)[None].repeat(6, 0)
    pixels = np.stack([segments >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "png" / "a.png")
    Image.new("RGB", (10, 6)).save(tmp_path / "a.jpg")
    segments_info = [
        {"id": id_, "category_id": category, "iscrowd": 0, "area": 12, "bbox": [0, 0, 2, 6]}
        for id_, category in ((5, 3), (300, 200), (70_000, 7))
    ]
    write(tmp_path, segments_info)
    yield tmp_path
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def write(folder, segments_info, image_id=1):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 6, "width": 10}],
        "annotations": [
            {"image_id": image_id, "file_name": "a.png", "segments_info": segments_info}
        ],
        "categories": CATEGORIES,
    }
    (folder / "panoptic.json").write_text(json.dumps(content))


def load(folder):
    return load_coco_panoptic(folder / "panoptic.json", folder / "png", folder)


def test_records_and_metadata(folder):
    metadata = register_coco_panoptic(NAME, folder / "panoptic.json", folder / "png", folder)
    (record,) = DatasetCatalog.get(NAME)
    assert record["pan_seg_file_name"] == str(folder / "png" / "a.png")
    assert [(s["isthing"], s["category_id"]) for s in record["segments_info"]] == [
        (True, 0),
        (False, 2),
        (True, 1),
    ]
    assert "annotations" not in record
    assert metadata.thing_classes == ["dog", "cat"]
    assert metadata.stuff_classes == ["things", "sky", "wall"]
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 7: 1}
    assert metadata.stuff_dataset_id_to_contiguous_id == {92: 1, 200: 2}
    assert metadata.evaluator_type == "coco_panoptic_seg"
    check_instance_dataset(NAME, num_classes=2)
    check_semantic_dataset(NAME, num_classes=3, ignore_label=255)


def test_segments_labels_and_annotations(folder):
    (record,) = load(folder)
    segments = read_panoptic(record["pan_seg_file_name"])
    assert segments.dtype == np.int32 and segments[0, ::2].tolist() == list(IDS)
    labels = panoptic_to_sem_seg(segments, record["segments_info"])
    assert labels.dtype == np.uint8 and labels[0, ::2].tolist() == [255, 0, 2, 0, 255]
    dog, cat = panoptic_to_annotations(segments, record["segments_info"])
    assert (dog["category_id"], dog["bbox"]) == (0, [2, 0, 2, 6])
    assert (cat["category_id"], cat["bbox"]) == (1, [6, 0, 2, 6])
    mask = decode_masks([cat["segmentation"]], 6, 10)[0]
    assert np.array_equal(mask.numpy(), segments == 70_000)
    assert (panoptic_to_sem_seg(segments, []) == 255).all()


def test_samples(folder):
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (12,), 0
    (record,) = load(folder)
    sample = DatasetMapper(cfg, is_train=True)(record, np.random.default_rng(0))
    assert sample["sem_seg"].shape == sample["image"].shape[1:] == (12, 20)
    instances = sample["instances"]
    assert instances.gt_classes.tolist() == [0, 1] and len(instances.gt_masks) == 2
    labels = sample["sem_seg"]
    assert ((labels == 0) == instances.gt_masks.tensor.any(0)).all()
    sample = DatasetMapper(cfg, is_train=False)(record, np.random.default_rng(0))
    assert sample["sem_seg_gt"].shape == (6, 10) and "instances" not in sample
    Image.new("RGB", (9, 6)).save(record["pan_seg_file_name"])
    with pytest.raises(ValueError, match=r"a\.jpg has 6 x 10 pixels, its label map .*a\.png 6 x 9"):
        DatasetMapper(cfg, is_train=True)(record, np.random.default_rng(0))


def test_faults(folder):
    write(folder, [{"id": 5, "category_id": 4}])
    with pytest.raises(ValueError, match=r"segment 5 of a\.png has the category 4"):
        load(folder)
    write(folder, [], image_id=2)
    with pytest.raises(ValueError, match=r"2 images without an annotation.* 1, 2"):
        load(folder)
    register_coco_panoptic(NAME, folder / "panoptic.json", folder / "png", folder)
    write(folder, [])
    (folder / "png" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"no image file .*a\.png"):
        check_instance_dataset(NAME, num_classes=2)


@pytest.mark.parametrize("split", ["train", "val"])
def test_shapes(datasets_root, split):
    name = f"shapes_panoptic_{split}"
    records, semantic = DatasetCatalog.get(name), DatasetCatalog.get(f"shapes_{split}")
    check_instance_dataset(name, num_classes=5)
    metadata = MetadataCatalog.get(name)
    content = json.loads(Path(metadata.panoptic_json).read_text())
    things = [c["name"] for c in content["categories"] if c["isthing"]]
    assert things == metadata.thing_classes and len(records) == len(semantic)
    for record, other in zip(records[::20], semantic[::20], strict=True):
        segments = read_panoptic(record["pan_seg_file_name"])
        labels = read_sem_seg(other["sem_seg_file_name"])
        assert len(record["annotations"]) + 1 == len(np.unique(segments))
        for info in record["segments_info"]:
            want = info["category_id"] + 1 if info["isthing"] else 0
            assert (labels[segments == info["id"]] == want).all()


def test_built_in_names(datasets_root):
    """Facts are there without a file, and a missing file is named."""
    metadata = MetadataCatalog.get("coco_2017_val_panoptic_separated")
    assert len(metadata.thing_classes) == 80 and len(metadata.stuff_classes) == 54
    assert metadata.json_file == str(datasets_root / "coco/annotations/instances_val2017.json")
    stuff = MetadataCatalog.get("coco_2017_val_panoptic_stuffonly")
    assert stuff.stuff_classes == metadata.stuff_classes and stuff.evaluator_type == "sem_seg"
    assert MetadataCatalog.get("coco_2014_train").thing_classes[-1] == "toothbrush"
    for name, file in (
        ("coco_2017_train", r"coco/annotations/instances_train2017\.json"),
        ("coco_2017_val_panoptic_separated", r"coco/annotations/panoptic_val2017\.json"),
        ("coco_2017_train_panoptic_stuffonly", r"coco/annotations/panoptic_train2017\.json"),
        ("lvis_v1_val", r"lvis/lvis_v1_val\.json"),
    ):
        with pytest.raises(FileNotFoundError, match=file):
            DatasetCatalog.get(name)
