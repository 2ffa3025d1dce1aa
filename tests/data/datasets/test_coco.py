from __future__ import annotations

import copy
import json
import logging

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from segsuite.data import DatasetCatalog, MetadataCatalog, load_coco_json, register_coco_instances
from segsuite.data.datasets import coco_faults
from segsuite.errors import DataError
from segsuite.structures import to_rle
from tests.helpers import SHARED, requires_coco_tiny

NAME = "test_coco_set"
SQUARE = [2.0, 1.0, 5.0, 1.0, 5.0, 4.0, 2.0, 4.0]
RLE = {"size": [6, 8], "counts": [13, 3, 3, 3, 26]}
# Two categories with a gap, out of order; two images, the second without annotations.
COCO_FILE = {
    "images": [
        {"id": 7, "file_name": "b.jpg", "height": 6, "width": 8},
        {"id": 3, "file_name": "sub/a.jpg", "height": 6, "width": 8},
    ],
    "categories": [{"id": 90, "name": "cat"}, {"id": 5, "name": "dog"}],
    "annotations": [
        {"id": id_, "image_id": 3, "category_id": category, "bbox": bbox, "segmentation": form}
        for id_, category, bbox, form in (
            (11, 90, [2, 1, 3, 3], [SQUARE]),
            (12, 5, [2, 1, 2, 3], RLE),
            (13, 5, [2, 1, 2, 3], {"size": [6, 8], "counts": "=330g0"}),
        )
    ],
}
COCO_FILE["annotations"][2]["iscrowd"] = 1


@pytest.fixture
def content():
    yield copy.deepcopy(COCO_FILE)
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


@pytest.fixture
def load(tmp_path, caplog):
    """Write a file, read it, and return its records and the warnings."""

    def load(content, name=None):
        coco_faults.warn_once.cache_clear()
        caplog.clear()
        caplog.set_level(logging.WARNING)
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        return load_coco_json(path, "/images", name), caplog.text

    return load


def test_records(content, load):
    records, warnings = load(content, NAME)
    assert not warnings
    assert [r["image_id"] for r in records] == [3, 7]
    assert records[0]["file_name"] == "/images/sub/a.jpg"
    assert (records[0]["height"], records[0]["width"]) == (6, 8)
    assert records[1]["annotations"] == []
    polygon, rle, crowd = records[0]["annotations"]
    assert (polygon["id"], polygon["category_id"], polygon["iscrowd"]) == (11, 1, 0)
    assert polygon["bbox"] == [2, 1, 3, 3]
    assert [p.tolist() for p in polygon["segmentation"]] == [SQUARE]
    assert (rle["category_id"], rle["iscrowd"], crowd["iscrowd"]) == (0, 0, 1)
    masks = coco_mask.decode([rle["segmentation"], crowd["segmentation"]])
    assert masks[1:4, 2:4].all() and masks.sum() == 12
    metadata = MetadataCatalog.get(NAME)
    assert metadata.thing_classes == ["dog", "cat"] and len(metadata.thing_colors) == 2
    assert metadata.thing_dataset_id_to_contiguous_id == {5: 0, 90: 1}


def test_registered_in_one_call(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    for _ in range(2):
        metadata = register_coco_instances(NAME, {"thing_colors": [(1, 2, 3)] * 2}, path, tmp_path)
    assert metadata.json_file == str(path) and metadata.get("thing_classes") is None
    assert len(DatasetCatalog.get(NAME)) == len(DatasetCatalog.get(NAME)) == 2
    assert metadata.thing_classes == ["dog", "cat"] and metadata.thing_colors[0] == (1, 2, 3)
    with pytest.raises(ValueError, match="json_file is already"):
        register_coco_instances(NAME, {}, tmp_path / "b.json", tmp_path)


@pytest.mark.parametrize(
    "change, warning",
    [
        ({"bbox": [2, 1, -3, 3]}, "1 with a bbox of no or negative size (annotation 11)"),
        ({"bbox": [2, 1, 3, 0]}, "1 with a bbox of no or negative size (annotation 11)"),
        ({"bbox": [8, 1, 3, 3]}, "1 with a bbox outside of the image (annotation 11)"),
        ({"bbox": [2, 1, 3]}, "1 without a bbox of four numbers (annotation 11)"),
        ({"bbox": [0, 0, float("nan"), 1]}, "1 without a bbox of four numbers (annotation 11)"),
        ({"image_id": 4}, "1 of an image that the file does not list (annotation 11)"),
    ],
)
def test_what_can_be_left_out_is_named_and_left_out(content, load, change, warning):
    content["annotations"][0].update(change)
    records, warnings = load(content)
    assert [a["id"] for a in records[0]["annotations"]] == [12, 13]
    assert "instances.json: left out of its 3 annotations:" in warnings and warning in warnings


@pytest.mark.parametrize(
    "change, warning",
    [
        ({"segmentation": [[1, 1, 2, 2]]}, "1 polygons of fewer than 3 points"),
        ({"segmentation": [["a"] * 6]}, "1 polygons of fewer than 3 points"),
        ({"segmentation": [[9, 1, 12, 1, 12, 4]]}, "1 polygons outside of the image (annotation"),
        ({"segmentation": {"size": [8, 6], "counts": [48]}}, "mask of 8 x 6 pixels"),
        ({"segmentation": {"size": [6, 8], "counts": [47]}}, "runs of the RLE add up to 47"),
        ({"segmentation": {"size": [6, 8], "counts": [50, -2]}}, "a run of -2"),
        ({"segmentation": {"size": [6, 8]}}, "1 with an RLE that is not one"),
    ],
)
def test_an_object_whose_mask_cannot_be_used_keeps_its_box(content, load, change, warning):
    content["annotations"][0].update(change)
    records, warnings = load(content)
    assert [a["id"] for a in records[0]["annotations"]] == [11, 12, 13]
    assert "segmentation" not in records[0]["annotations"][0]
    assert "left out of the masks of its 3 annotations, whose boxes count:" in warnings
    assert warning in warnings


def test_only_the_bad_polygon_of_an_object_is_left_out(content, load):
    content["annotations"][0]["segmentation"].append([1, 1, 2, 2])
    records, warnings = load(content)
    assert [p.tolist() for p in records[0]["annotations"][0]["segmentation"]] == [SQUARE]
    assert "(annotation 11)" in warnings


def test_many_faults_are_counted_and_reported_once(content, load, tmp_path, caplog):
    for i in range(20):
        bad = {"id": 100 + i, "image_id": 3, "category_id": 5, "bbox": [0, 0, -1, 1]}
        content["annotations"].append(bad)
    _, warnings = load(content)
    assert "20 with a bbox of no or negative size" in warnings
    assert "(annotation 100, 101, 102, 103, 104 and 15 more)" in warnings
    caplog.clear()
    for _ in range(2):
        load_coco_json(tmp_path / "instances.json", "/images")
    assert not caplog.text


def test_a_file_that_was_changed_is_read_again(content, load):
    before, _ = load(content)
    again, _ = load(content)
    again[0]["file_name"] = "other"
    content["annotations"].pop()
    after, _ = load(content)
    assert [len(records[0]["annotations"]) for records in (before, again, after)] == [3, 3, 2]
    assert after[0]["file_name"] == before[0]["file_name"]


def test_objects_without_a_mask_keep_their_box(content, load):
    del content["annotations"][0]["segmentation"]
    content["annotations"][1]["segmentation"] = []
    records, warnings = load(content)
    assert not warnings
    assert ["segmentation" in a for a in records[0]["annotations"]] == [False, False, True]


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda c: c["annotations"][1].update(id=11), "annotations with the same id: 11"),
        (lambda c: c["images"][1].update(id=7), "images with the same id: 7"),
        (lambda c: c["categories"][1].update(id=90), "categories with the same id: 90"),
        (
            lambda c: c["annotations"][1].update(category_id=4),
            r"of a category that .* \(annotation 12\): category_id 4[\s\S]*categories 5, 90",
        ),
        (lambda c: c["annotations"][1].pop("id"), "an annotation has no 'id'"),
        (lambda c: c["images"][0].pop("height"), "image 7 has no 'height'"),
        (lambda c: c["images"][0].pop("file_name"), "image 7 has no 'file_name'"),
        (lambda c: c.pop("images"), "lacks images"),
        (
            lambda c: [a.update(bbox=[0, 0, 0, 0]) for a in c["annotations"]],
            "none of its 3 annotations can be used",
        ),
    ],
)
def test_what_stops(content, load, spoil, message):
    spoil(content)
    with pytest.raises(ValueError, match=r"instances\.json[\s\S]*" + message):
        load(content)


def test_no_file_and_no_json(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no annotation file .*none\.json"):
        load_coco_json(tmp_path / "none.json", "/images")
    (tmp_path / "page.json").write_text("<html>")
    with pytest.raises(ValueError, match=r"page\.json is not a JSON file"):
        load_coco_json(tmp_path / "page.json", "/images")


def test_lvis(content, load):
    """LVIS names the image by its address, and lists categories that are not there or not all."""
    content["images"] = content["images"][1:]
    content["images"][0] |= {
        "coco_url": "http://images.cocodataset.org/val2017/000000000001.jpg",
        "neg_category_ids": [90],
        "not_exhaustive_category_ids": [5],
    }
    del content["images"][0]["file_name"]
    content["categories"] = [{**c, "image_count": c["id"] * 2} for c in content["categories"]]
    records, _ = load(content, NAME)
    assert records[0]["file_name"] == "/images/val2017/000000000001.jpg"
    assert records[0]["neg_category_ids"] == [1] and records[0]["not_exhaustive_category_ids"] == [
        0
    ]
    assert MetadataCatalog.get(NAME).class_image_count == [10, 180]


@pytest.mark.parametrize(
    "given, read", [(None, None), ([], []), ([99], []), ([90, "5", 99], [1, 0]), ([[5]], [])]
)
def test_categories_that_an_image_lacks(content, load, caplog, given, read):
    """In a part of LVIS they may be of categories that were left out."""
    content["images"][0]["neg_category_ids"] = given
    records, _ = load(content, NAME)
    record = next(r for r in records if r["image_id"] == content["images"][0]["id"])
    assert record.get("neg_category_ids") == read
    unknown = given is not None and len(given) > len(read)
    assert ("name categories that the file does not list" in caplog.text) == unknown


@pytest.mark.parametrize("given", [5, "90", {"90": 1}])
def test_categories_that_are_no_list(content, load, given):
    content["images"][0]["neg_category_ids"] = given
    with pytest.raises(ValueError, match=r"image 7 has neg_category_ids .*; expected a list"):
        load(content)


@requires_coco_tiny
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_real_annotations_as_pycocotools_reads_them(split, capsys, caplog):
    root = SHARED / "data" / "coco_tiny"
    json_file = root / "annotations" / f"instances_{split}.json"
    records = load_coco_json(json_file, root / split, NAME)
    metadata = MetadataCatalog.get(NAME)
    MetadataCatalog.remove(NAME)
    assert not caplog.text
    truths = COCO(json_file)
    assert [r["image_id"] for r in records] == sorted(truths.imgs)
    assert metadata.thing_classes == [c["name"] for c in truths.loadCats(sorted(truths.cats))]
    found = {a["id"]: (a, r) for r in records for a in r["annotations"]}
    assert found.keys() == truths.anns.keys()
    for id_, (annotation, record) in found.items():
        truth = truths.anns[id_]
        assert record["image_id"] == truth["image_id"]
        category = metadata.thing_dataset_id_to_contiguous_id[truth["category_id"]]
        assert (annotation["category_id"], annotation["bbox"]) == (category, truth["bbox"])
        assert annotation["iscrowd"] == truth["iscrowd"]
    for id_ in list(found)[::10]:
        annotation, record = found[id_]
        rle = to_rle(annotation["segmentation"], record["height"], record["width"])
        assert np.array_equal(coco_mask.decode(rle), truths.annToMask(truths.anns[id_]))


def test_some_images_of_a_file(content, load, tmp_path):
    load(content)
    path = tmp_path / "instances.json"
    records = load_coco_json(path, "/images", image_ids=[7])
    assert [record["image_id"] for record in records] == [7]
    with pytest.raises(ValueError, match=r"instances\.json has no image 8"):
        load_coco_json(path, "/images", image_ids=[7, 8])
    register_coco_instances(NAME, {"image_ids": [3]}, path, "/images")
    assert [record["image_id"] for record in DatasetCatalog.get(NAME)] == [3]


def test_json_that_is_nested_too_deeply(tmp_path):
    path = tmp_path / "deep.json"
    lists = '"images": [], "annotations": [], "categories": []'
    path.write_text(f'{{"info": {"[" * 100_000}{"]" * 100_000}, {lists}}}')
    with pytest.raises(
        DataError, match=r"deep\.json is not a JSON file.*nested too deeply\. Remove"
    ):
        load_coco_json(path, "/images")
