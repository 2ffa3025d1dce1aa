"""Damage done to panoptic segmentations is found and named, and fixed in a copy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from segsuite.data import (
    DatasetCatalog,
    MetadataCatalog,
    load_coco_panoptic,
    read_panoptic,
    register_coco_panoptic,
)
from segsuite.data.checks import examine_datasets, write_fixed_copy
from segsuite.data.panoptic import write_panoptic

from .planted import assert_found, contents

NAME, FIXED = "planted_panoptic", "planted_panoptic_fixed"
NUM_IMAGES = 14


class PanopticCopy:
    """The first images of the generated shapes, and their segments."""

    def __init__(self, root: Path):
        source = MetadataCatalog.get("shapes_panoptic_val")
        self.images, self.segments, self.json_file = root / "i", root / "s", root / "p.json"
        content = json.loads(Path(source.panoptic_json).read_text())
        content["images"] = content["images"][:NUM_IMAGES]
        content["annotations"] = content["annotations"][:NUM_IMAGES]
        for kind, folder, entries in (
            (source.image_root, self.images, content["images"]),
            (source.panoptic_root, self.segments, content["annotations"]),
        ):
            folder.mkdir()
            for entry in entries:
                shutil.copyfile(Path(kind, entry["file_name"]), folder / entry["file_name"])
        self.content = content
        self.save()

    def save(self) -> None:
        self.json_file.write_text(json.dumps(self.content))

    def image(self, i: int) -> Path:
        return self.images / self.content["images"][i]["file_name"]

    def png(self, i: int) -> Path:
        return self.segments / self.content["annotations"][i]["file_name"]

    def of(self, i: int) -> list[dict]:
        return self.content["annotations"][i]["segments_info"]


@pytest.fixture
def copy(tmp_path, datasets_root):
    copy = PanopticCopy(tmp_path)
    register_coco_panoptic(NAME, copy.json_file, copy.segments, copy.images)
    yield copy
    for name in (NAME, FIXED):
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def plant(copy: PanopticCopy) -> dict[tuple[str, str], str]:
    """Do the damage; gives (kind, where) of each, with what was done."""
    planted: dict[tuple[str, str], str] = {}

    def segment(kind: str, i: int, id: int, how: str) -> None:
        planted[kind, f"segment {id} of {copy.png(i)}"] = how

    def file(kind: str, path: Path, how: str) -> None:
        planted[kind, str(path)] = how

    copy.png(0).unlink()
    file("panoptic-unreadable", copy.png(0), "removed")
    copy.png(1).write_bytes(copy.png(1).read_bytes()[:60])
    file("panoptic-unreadable", copy.png(1), "cut short")
    Image.open(copy.png(2)).convert("L").save(copy.png(2))
    file("panoptic-mode", copy.png(2), "grey")
    with Image.open(copy.png(12)) as image:
        image.save(copy.png(12), format="JPEG")
    file("panoptic-mode", copy.png(12), "saved as JPEG")
    segment("segment-void", 13, 0, "whose number says that there is none")
    copy.of(13).append({**copy.of(13)[0], "id": 0})
    write_panoptic(copy.png(3), read_panoptic(copy.png(3))[:-7])
    file("size-mismatch", copy.png(3), "seven rows lost")
    gone = copy.of(4).pop()
    segment("segment-unlisted", 4, gone["id"], "taken from the list")
    copy.of(5).append({"id": 77_000, "category_id": 1, "area": 9, "iscrowd": 0})
    segment("segment-empty", 5, 77_000, "added to the list")
    copy.of(6)[0]["area"] //= 2
    segment("segment-area", 6, copy.of(6)[0]["id"], "half the area")
    copy.of(7)[-1]["category_id"] = 99
    segment("unknown-category", 7, copy.of(7)[-1]["id"], "of no category")
    copy.of(8).append(dict(copy.of(8)[0]))
    segment("duplicate-id", 8, copy.of(8)[0]["id"], "listed twice")
    copy.content["images"][9]["width"] += 5
    file("size-mismatch", copy.image(9), "another width in the JSON")
    alone = {**copy.content["annotations"][10], "image_id": 12345}
    copy.content["annotations"][10] = alone
    file("labels-without-image", copy.png(10), "of an image that is not listed")
    file("image-without-labels", copy.image(10), "... whose own image is left alone")
    copy.image(11).write_bytes(b"")
    file("image-unreadable", copy.image(11), "an empty image")
    copy.save()
    return planted


def test_undamaged(copy):
    report = examine_datasets([NAME])
    assert report.count("error") == 0, report.text()
    names = [c["name"] for c in report.statistics[NAME]["classes"]]
    assert names[-1] == "ground" and report.statistics[NAME]["images"] == NUM_IMAGES
    assert sum(c["share"] for c in report.statistics[NAME]["classes"]) == pytest.approx(1)


def test_planted_damage_is_found_and_named(copy):
    planted = plant(copy)
    report = examine_datasets([NAME])
    assert_found(planted, report)


def test_mended_copy_can_be_loaded(copy, tmp_path):
    plant(copy)
    before = contents(tmp_path)
    changes = write_fixed_copy(NAME, tmp_path / "fixed")
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    assert after.keys() - before.keys() == {tmp_path / "fixed" / "panoptic.json"}
    text = "\n".join(changes)
    for words in ("without a pixel: segment 77000", "fixed the area of", "is unknown: segment"):
        assert words in text
    fixed = tmp_path / "fixed" / "panoptic.json"
    records = load_coco_panoptic(fixed, copy.segments, copy.images)
    usable = [copy.content["images"][i]["id"] for i in (*range(4, 10), 13)]
    assert [r["image_id"] for r in records] == usable
    register_coco_panoptic(FIXED, fixed, copy.segments, copy.images)
    report = examine_datasets([FIXED])
    left = {f["kind"] for f in report.to_dict()["findings"] if f["severity"] == "error"}
    assert left == {"segment-unlisted", "size-mismatch"}, report.text()  # for a person to put right


def test_instances_and_panoptic_segments_are_examined_together(datasets_root):
    report = examine_datasets(["shapes_panoptic_val", "shapes_instances_val", "shapes_val"])
    assert report.count("error") == 0, report.text()
    assert report.found("same-images") == ["shapes_instances_val", "shapes_val"]
    assert not report.found("leakage") and not report.found("near-leakage")


@pytest.mark.parametrize(
    "change, detail",
    [
        (lambda c: c["categories"][0].pop("isthing"), "needs an 'isthing'"),
        (lambda c: c["annotations"][0].pop("segments_info"), "has no 'segments_info'"),
        (lambda c: c["annotations"][0]["segments_info"][0].update(iscrowd="x"), "has iscrowd 'x'"),
        (lambda c: c["images"][0].update(height="tall"), "has the height 'tall'"),
        (lambda c: c["annotations"][0]["segments_info"].append(3), "is 3; expected an object"),
    ],
)
def test_what_training_refuses(copy, change, detail):
    change(copy.content)
    copy.save()
    with pytest.raises(ValueError, match=detail):
        load_coco_panoptic(copy.json_file, copy.segments, copy.images)
    report = examine_datasets([NAME])
    assert report.count("error") > 0
    assert detail in report.text() or report.found("size-mismatch")


def test_an_instances_file_in_its_place(copy):
    copy.content["annotations"] = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}]
    copy.save()
    report = examine_datasets([NAME])
    assert "is a file of instances" in report.text()
