"""Boxes of records, whichever way they are written: one object in four ways is one object."""

from __future__ import annotations

import json
import re
from enum import IntEnum

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import (
    DatasetCatalog,
    MetadataCatalog,
    build_train_loader,
    check_instance_dataset,
    load_coco_json,
    register_coco_instances,
)
from segsuite.data.boxes import as_coco_box, corner_boxes, record_size
from segsuite.data.checks import examine_datasets
from segsuite.errors import DataError
from segsuite.evaluation import COCOEvaluator
from segsuite.structures import BoxMode
from segsuite.visualization.data import draw_record

NAME = "test_boxes"
SIZE = (80, 100)  # height, width
POLYGON = [8.0, 12, 40, 10, 46, 50, 20, 60]
WRITTEN = {
    BoxMode.XYXY_ABS: [8, 10, 46, 60],
    BoxMode.XYWH_ABS: [8, 10, 38, 50],
    BoxMode.XYXY_REL: [0.08, 0.125, 0.46, 0.75],
    BoxMode.XYWH_REL: [0.08, 0.125, 0.38, 0.625],
}


class OtherBoxMode(IntEnum):
    """The enum of another library."""

    XYXY_ABS = 0


def as_written(mode):
    return {"bbox": WRITTEN[BoxMode(mode)], "bbox_mode": mode}


WAYS = [
    *(as_written(mode) for mode in BoxMode if mode in WRITTEN),
    *(as_written(int(mode)) for mode in BoxMode if mode in WRITTEN),
    as_written(OtherBoxMode.XYXY_ABS),
    as_written(np.int64(0)),
    {"bbox": np.array(WRITTEN[BoxMode.XYXY_ABS]), "bbox_mode": 0},
    {"bbox": tuple(WRITTEN[BoxMode.XYXY_ABS]), "bbox_mode": 0},
    {"bbox": WRITTEN[BoxMode.XYWH_ABS]},  # none: as in COCO's files
]
REFUSED = [
    ({"bbox": [20, 20, 30, 10, 45], "bbox_mode": 4}, "bbox_mode 4 is XYWHA_ABS: there are no rot"),
    (
        {"bbox": [8, 10, 46, 60], "bbox_mode": 7},
        r"bbox_mode 7 is no BoxMode; expected XYXY_ABS \(0",
    ),
    ({"bbox": [8, 10, 46, 60], "bbox_mode": "xyxy"}, "bbox_mode 'xyxy' is no BoxMode"),
    ({"bbox": [8, 10, 46, 60], "bbox_mode": None}, "bbox_mode None is no BoxMode"),
]
MALFORMED = [
    ({"bbox": [8, 10, 46], "bbox_mode": 0}, r"bbox is \[8, 10, 46\]; expected four numbers, XYXY"),
    ({"bbox": [8, 10, 46, float("nan")]}, "expected four numbers, XYWH_ABS"),
    ({"bbox": None}, "bbox is None; expected four numbers"),
    ({}, "bbox is None; expected four numbers"),
    ({"bbox": "8 10 46 60"}, "expected four numbers"),
]


@pytest.fixture
def register(tmp_path):
    """Register a data set of one image with annotations that differ in their boxes."""
    image = tmp_path / "a.png"
    Image.fromarray(np.arange(80 * 100 * 3).reshape(80, 100, 3).astype(np.uint8)).save(image)

    def register(*boxes, **facts):
        annotations = [
            {"id": 5 + i, "category_id": 0, "segmentation": [POLYGON], **box}
            for i, box in enumerate(boxes)
        ]
        record = {"file_name": str(image), "image_id": 1, "annotations": annotations}
        DatasetCatalog.register(NAME, lambda: [record | facts])
        MetadataCatalog.get(NAME).set(thing_classes=["boat"])
        return record | facts

    yield register
    DatasetCatalog.remove(NAME)


def findings():
    """What the doctor says, by kind; the classes are not looked at."""
    found = examine_datasets([NAME]).to_dict()["findings"]
    return {f["kind"]: f["items"] for f in found}


@pytest.mark.parametrize("box", WAYS, ids=str)
class TestOneObject:
    @pytest.mark.parametrize("copy_paste", [0.0, 1.0])
    def test_is_trained_on(self, register, box, copy_paste):
        register(box)
        cfg = get_cfg()
        cfg.merge_from_list(
            [
                *("DATASETS.TRAIN", (NAME,), "SOLVER.IMS_PER_BATCH", 1),
                *("DATALOADER.NUM_WORKERS", 0, "INPUT.MIN_SIZE_TRAIN", (0,)),
                *("INPUT.RANDOM_FLIP", "none", "INPUT.COPY_PASTE_PROB", copy_paste),
                *("INPUT.MASK_FORMAT", "bitmask", "MODEL.MASK_ON", True),
            ]
        )
        sample = next(iter(build_train_loader(cfg)))[0]
        expected = torch.tensor([[8.0, 10, 46, 60]])
        assert len(sample["instances"])
        for boxes in sample["instances"].gt_boxes:
            torch.testing.assert_close(boxes[None], expected)

    def test_passes_the_check(self, register, box):
        register(box)
        check_instance_dataset(NAME, num_classes=1)

    def test_is_clean_for_the_doctor(self, register, box):
        register(box)
        assert findings() == {}

    def test_is_drawn(self, register, box):
        picture = draw_record(register(box), MetadataCatalog.get(NAME))
        other = {"id": 5, "category_id": 0, "segmentation": [POLYGON]}
        other["bbox"] = WRITTEN[BoxMode.XYWH_ABS]
        record = DatasetCatalog.get(NAME)[0] | {"annotations": [other]}
        assert np.array_equal(picture, draw_record(record, MetadataCatalog.get(NAME)))

    def test_as_coco_writes_it(self, box):
        assert as_coco_box(box, SIZE) == pytest.approx(WRITTEN[BoxMode.XYWH_ABS])


def test_several_ways_in_one_image():
    boxes = corner_boxes(WAYS, SIZE)
    assert boxes == pytest.approx(np.array([WRITTEN[BoxMode.XYXY_ABS]] * len(WAYS)))
    assert corner_boxes([], SIZE).shape == (0, 4)


def test_annotations_are_left_as_they_are():
    annotation = as_written(0)
    corner_boxes([annotation], SIZE), as_coco_box(annotation, SIZE)
    assert annotation == {"bbox": [8, 10, 46, 60], "bbox_mode": 0}


def test_the_size_comes_from_the_record_or_the_file(register):
    assert record_size(register()) == SIZE
    assert record_size({"height": 7, "width": 9, "file_name": "none.png"}) == (7, 9)


class TestRefused:
    @pytest.mark.parametrize("box, message", REFUSED + MALFORMED)
    def test_by_the_check(self, register, box, message):
        register(as_written(0), box)
        where = rf"'{NAME}': 1 of 1 images have boxes.*\n.*a\.png: annotation 6: .*"
        with pytest.raises(ValueError, match=where + message):
            check_instance_dataset(NAME, num_classes=1)

    @pytest.mark.parametrize("box, message", REFUSED)
    def test_by_training(self, box, message):
        with pytest.raises(DataError, match=f"annotation 6: .*{message}"):
            corner_boxes([as_written(0), {"id": 6, **box}], SIZE)

    @pytest.mark.parametrize("box, message", REFUSED + MALFORMED)
    def test_by_the_doctor(self, register, box, message):
        register(as_written(0), box)
        (item,) = findings()["bbox-invalid"]
        assert item["where"].startswith("annotation 6 of ") and re.search(message, item["detail"])

    def test_annotations_without_an_id_are_counted(self, register):
        register(as_written(0))
        record = DatasetCatalog.get(NAME)[0]
        record["annotations"] += [{"category_id": 0, "bbox": [1, 2], "segmentation": [POLYGON]}]
        with pytest.raises(ValueError, match=r"a\.png: annotation number 1 \(from 0\): bbox is"):
            check_instance_dataset(NAME, num_classes=1)
        (item,) = findings()["bbox-invalid"]
        assert item["where"].startswith("annotation number 1 (from 0) of ")

    def test_width_and_height_given_as_corners(self, register):
        register({"bbox": [60, 70, 20, 5], "bbox_mode": BoxMode.XYXY_ABS})
        with pytest.raises(ValueError, match="has a negative size as XYXY_ABS; set its bbox_mode"):
            check_instance_dataset(NAME, num_classes=1)


def test_the_doctor_looks_at_the_annotations_of_records(register):
    register(
        as_written(0),
        {"bbox": [120, 10, 140, 20], "bbox_mode": 0},
        {"bbox": [8, 10, 46, 60], "bbox_mode": 0, "category_id": 3},
        {"bbox": [50, 50, 90, 75], "bbox_mode": 0},
        height=100,
        width=80,
    )
    found = findings()
    assert found.keys() >= {"bbox-outside", "unknown-category", "bbox-mask", "size-mismatch"}
    assert found["unknown-category"][0]["where"].startswith("annotation 7 of ")


def test_the_doctor_knows_corners_without_a_mode(register):
    register({"bbox": [60, 40, 90, 70], "segmentation": [[60, 40, 90, 40, 90, 70]]})
    assert "bbox-corners" in findings()


def test_records_of_a_file_tell_their_mode(tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 80, "width": 100}],
        "categories": [{"id": 1, "name": "boat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 10, 38, 50]}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(content))
    (record,) = load_coco_json(tmp_path / "gt.json", tmp_path)
    (annotation,) = record["annotations"]
    assert annotation["bbox_mode"] is BoxMode.XYWH_ABS
    box = BoxMode.convert(annotation["bbox"], annotation["bbox_mode"], BoxMode.XYXY_ABS)
    assert box == [8, 10, 46, 60]


@pytest.mark.parametrize("mode", [0, 2, 4, None])
def test_a_file_of_cocos_format_with_another_mode_is_refused(tmp_path, mode):
    path = tmp_path / "gt.json"
    annotation = {"id": 3, "image_id": 1, "category_id": 1, "bbox": [8, 10, 46, 60]}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 80, "width": 100}],
        "categories": [{"id": 1, "name": "boat"}],
        "annotations": [annotation | {"bbox_mode": mode}],
    }
    path.write_text(json.dumps(content))
    message = rf"gt\.json: annotation 3 has bbox_mode {mode}, but in COCO's format"
    with pytest.raises(DataError, match=message):
        load_coco_json(path, tmp_path)
    with pytest.raises(DataError, match=message):
        COCOEvaluator("any", json_file=path)
    register_coco_instances(NAME, {}, path, tmp_path)
    try:
        assert re.search(message, findings()["dataset-unreadable"][0]["detail"])
    finally:
        DatasetCatalog.remove(NAME)
    content["annotations"] = [annotation | {"bbox": [8, 10, 38, 50], "bbox_mode": 1}]
    path.write_text(json.dumps(content))
    assert load_coco_json(path, tmp_path)[0]["annotations"][0]["bbox"] == [8, 10, 38, 50]
