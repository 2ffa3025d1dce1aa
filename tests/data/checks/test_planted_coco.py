"""Damage done to a copy of real COCO files is found and named; the undamaged copy is clean."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest

from segsuite.data import DatasetCatalog, MetadataCatalog, load_coco_json, register_coco_instances
from segsuite.data.checks import examine_datasets, write_fixed_copy
from tests.helpers import SHARED, requires_coco_tiny

from .planted import assert_found, contents
from .test_planted_label_maps import save_with_orientation, truncate

TRAIN, VAL, FIXED = "planted_coco_train", "planted_coco_val", "planted_coco_fixed"
NUM_IMAGES = 24


class CocoCopy:
    """The first images of coco_tiny that have three annotations or more, and these."""

    def __init__(self, root: Path, split: str):
        source = SHARED / "data" / "coco_tiny"
        self.images = root / split
        self.images.mkdir(parents=True)
        self.json_file = root / f"{split}.json"
        content = json.loads((source / f"annotations/instances_{split}2017.json").read_text())
        by_image: dict[int, list] = {}
        for annotation in content["annotations"]:
            by_image.setdefault(annotation["image_id"], []).append(annotation)
        images = [i for i in content["images"] if len(by_image.get(i["id"], ())) >= 3][:NUM_IMAGES]
        for image in images:
            shutil.copyfile(source / f"{split}2017" / image["file_name"], self.path(image))
        self.content = {
            "images": images,
            "annotations": [a for i in images for a in by_image[i["id"]]],
            "categories": content["categories"],
        }
        self.save()

    def path(self, image: dict) -> Path:
        return self.images / image["file_name"]

    def save(self) -> None:
        self.json_file.write_text(json.dumps(self.content))

    def of(self, i: int) -> tuple[Path, list[dict]]:
        """The file and annotations of an image."""
        image = self.content["images"][i]
        found = [a for a in self.content["annotations"] if a["image_id"] == image["id"]]
        return self.path(image), [a for a in found if isinstance(a["segmentation"], list)]


@pytest.fixture
def copies(tmp_path):
    train, val = CocoCopy(tmp_path, "train"), CocoCopy(tmp_path, "val")
    for name, of_this in ((TRAIN, train), (VAL, val)):
        register_coco_instances(name, {}, of_this.json_file, of_this.images)
    yield train, val
    for name in (TRAIN, VAL, FIXED):
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def plant(train: CocoCopy, val: CocoCopy) -> dict[tuple[str, str], str]:
    """Do the damage; gives (kind, where) of each, with what was done."""
    planted: dict[tuple[str, str], str] = {}
    content = train.content

    def damaged(kind: str, i: int, annotation: dict | None, how: str) -> None:
        path, _ = train.of(i)
        where = str(path) if annotation is None else f"annotation {annotation['id']} of {path}"
        planted[kind, where] = how

    first = [annotations[0] for _, annotations in map(train.of, range(NUM_IMAGES))]
    first[0]["segmentation"] = [[10, 10, 20, 20]]
    damaged("polygon-invalid", 0, first[0], "a polygon of two points")
    first[1]["segmentation"][0].append(7.0)
    first[1]["segmentation"] = first[1]["segmentation"][:1]
    damaged("polygon-invalid", 1, first[1], "an odd number of values")
    first[2]["segmentation"] = [[x + 5000 for x in first[2]["segmentation"][0]]]
    damaged("polygon-outside", 2, first[2], "moved far away")
    first[3]["segmentation"] = {"size": [10, 10], "counts": [40, 60]}
    damaged("rle-invalid", 3, first[3], "an RLE of another size")
    height, width = (content["images"][4][key] for key in ("height", "width"))
    first[4]["segmentation"] = {"size": [height, width], "counts": [5, 7]}
    damaged("rle-invalid", 4, first[4], "an RLE that ends early")
    first[5]["bbox"] = [10.0, 10.0, -5.0, 8.0]
    damaged("bbox-invalid", 5, first[5], "a negative width")
    first[6]["bbox"] = [4000.0, 10.0, 50.0, 50.0]
    damaged("bbox-outside", 6, first[6], "a box outside")
    first[7]["bbox"][2] += 700
    damaged("bbox-beyond", 7, first[7], "a box that reaches beyond")
    first[8]["segmentation"][0][0] = -40.0
    damaged("polygon-beyond", 8, first[8], "a point left of the image")
    first[9]["area"] *= 4
    damaged("area-wrong", 9, first[9], "four times the area")
    first[10]["bbox"] = [0.0, 0.0, 5.0, 5.0]
    damaged("bbox-mask", 10, first[10], "the box of something else")
    first[11]["bbox"] = "12,34,5,6"
    damaged("bbox-invalid", 11, first[11], "a box as text")
    first[12]["segmentation"] = [[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]]
    damaged("mask-empty", 12, first[12], "a polygon between pixels")
    twin = copy.deepcopy(first[13])
    twin["id"] = 1
    content["annotations"].append(twin)
    damaged("duplicate-annotation", 13, twin, "an object annotated twice")
    content["annotations"].append({**first[14], "id": 2, "image_id": 123})
    planted["unknown-image", "annotation 2"] = "of an image that is not listed"
    content["annotations"].append({**first[14], "id": 3, "category_id": 1234})
    planted["unknown-category", "annotation 3"] = "of a category that is not listed"
    last = content["annotations"][-4]
    last["id"] = first[15]["id"]
    planted["duplicate-id", f"id {last['id']} of annotations"] = "two annotations of one id"

    truncate(train.of(16)[0])
    damaged("image-truncated", 16, None, "a JPEG cut in half")
    train.of(17)[0].unlink()
    damaged("image-missing", 17, None, "removed")
    train.of(18)[0].write_text("nothing")
    damaged("image-unreadable", 18, None, "text")
    content["images"][19]["width"] += 11
    damaged("size-mismatch", 19, None, "another width in the JSON")
    save_with_orientation(train.of(20)[0], 8)
    damaged("exif-rotation", 20, None, "turned by a quarter")
    damaged("size-mismatch", 20, None, "... so that the size differs")
    id21 = content["images"][21]["id"]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != id21]
    planted["images-empty", str(train.path(content["images"][21]))] = "annotations removed"
    shutil.copyfile(train.of(22)[0], train.images / "stray.jpg")
    planted["file-unlisted", str(train.images / "stray.jpg")] = "not in the JSON"
    shutil.copyfile(train.path(content["images"][23]), val.path(val.content["images"][0]))
    planted["leakage", str(val.path(val.content["images"][0]))] = "a training image"
    content["categories"][1]["name"] = "person"
    planted["duplicate-category", "person"] = "two categories of one name"
    planted["category-gaps", str(train.json_file)] = "COCO's own gaps"
    for annotation in val.content["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x, y, x + w, y + h]
    planted["bbox-corners", str(val.json_file)] = "boxes as corners"
    train.save()
    val.save()
    return planted


@requires_coco_tiny
def test_undamaged_copy(copies):
    report = examine_datasets([TRAIN, VAL])
    assert report.count("error") == 0, report.text()


@requires_coco_tiny
def test_planted_damage_is_found_and_named(copies):
    planted = plant(*copies)
    assert len({kind for kind, _ in planted}) >= 20
    report = examine_datasets([TRAIN, VAL])
    assert_found(planted, report, TRAIN)


@requires_coco_tiny
def test_mended_copy_can_be_loaded(copies, tmp_path):
    train, _ = copies
    plant(*copies)
    with pytest.raises(ValueError, match="same id"):
        load_coco_json(train.json_file, train.images)
    before = contents(tmp_path)
    changes = "\n".join(write_fixed_copy(TRAIN, tmp_path / "fixed"))
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    assert "bbox from the mask" in changes and "area from the mask" in changes
    json_file = tmp_path / "fixed" / "annotations.json"
    assert load_coco_json(json_file, train.images)
    register_coco_instances(FIXED, {}, json_file, train.images)
    report = examine_datasets([FIXED])
    left = {f["kind"] for f in report.to_dict()["findings"] if f["severity"] == "error"}
    assert left == {"size-mismatch"}, report.text()  # what only a person can put right


def test_file_that_is_none(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    register_coco_instances(TRAIN, {}, tmp_path / "a.json", tmp_path)
    try:
        report = examine_datasets([TRAIN])
    finally:
        DatasetCatalog.remove(TRAIN)
    assert report.found("dataset-unreadable") == [TRAIN] and "lacks images" in report.text()
