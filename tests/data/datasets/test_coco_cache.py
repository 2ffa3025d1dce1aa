"""What is read from the cache is what the file was read as."""

from __future__ import annotations

import json
import logging
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import (
    DatasetCatalog,
    MetadataCatalog,
    build_train_loader,
    get_records,
    load_coco_json,
    register_coco_instances,
)
from segsuite.data.cache import Columns, folder
from segsuite.data.datasets import coco_cache, coco_faults
from segsuite.data.datasets.coco_cache import (
    pack_instances,
    read_coco_instances,
    unpack_instances,
)
from segsuite.data.datasets.coco_reading import parse_instances
from segsuite.data.records import ColumnRecords
from segsuite.errors import DataError
from tests.data.test_records import same
from tests.helpers import SHARED, requires_coco_tiny
from tests.processes import ForkedProcess, run_group

NAME = "test_coco_cache"
SQUARE, HOLE = [2.0, 1, 5, 1, 5, 4, 2, 4], [3.0, 2, 4, 2, 4, 3]


def content() -> dict[str, Any]:
    masks = ([SQUARE, HOLE], {"size": [6, 8], "counts": [13, 3, 3, 3, 26]}, None)
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "height": 6, "width": 8},
            {"id": 3, "file_name": "ä/a.jpg", "height": 6, "width": 8},
            {"id": 5, "file_name": "c.jpg", "height": 6, "width": 8},
        ],
        "categories": [{"id": 90, "name": "cat", "more": {"x": [1]}}, {"id": 5, "name": "dog"}],
        "annotations": [
            {
                "id": 10 + i,
                "image_id": (3, 7)[i % 2],
                "category_id": (90, 5)[i % 2],
                "bbox": [2, 1, 3, 3],
                "iscrowd": i % 3 == 0,
                "area": 4.5 + i,
                "segmentation": masks[i % 3],
            }
            for i in range(7)
        ],
    }


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(folder, "_SETTLED_NS", -1_000_000_000)
    folder._Kept._columns.clear()
    coco_faults.warn_once.cache_clear()
    yield
    folder._Kept._columns.clear()
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The files that are parsed."""
    read: list[str] = []

    def parse(content, path, root=None):
        read.append(path)
        return parse_instances(content, path, root)

    monkeypatch.setattr(coco_cache, "parse_instances", parse)
    return read


def forget() -> None:
    """As in another process."""
    folder._Kept._columns.clear()
    coco_faults.warn_once.cache_clear()


def write(path: Path, made: Any) -> Path:
    path.write_text(json.dumps(made))
    return path


def text_ids(made: dict) -> None:
    for key in ("images", "annotations", "categories"):
        for entry in made[key]:
            entry.update({k: f"i{v}" for k, v in entry.items() if k.endswith("id")})


def huge_ids(made: dict) -> None:
    for key in ("images", "annotations"):
        for entry in made[key]:
            for name in {"id", "image_id"} & entry.keys():
                entry[name] += 1 << 70


def faults(made: dict) -> None:
    made["annotations"][0]["bbox"] = [0, 0, -1, 1]
    made["annotations"][1]["segmentation"] = [SQUARE, [1, 2, float("nan"), 3, 4, 5]]
    made["annotations"][2]["area"] = "4.5"
    made["annotations"][3]["image_id"] = 99
    made["annotations"][4]["segmentation"] = [[-1e9, 1, 5, 1, 5, 4, -1e9, 4]]


def lvis(made: dict) -> None:
    made["images"][1] |= {"neg_category_ids": [90, 1234], "not_exhaustive_category_ids": [5]}


def unlabelled(made: dict) -> None:
    del made["annotations"]


def empty(made: dict) -> None:
    made["annotations"] = []


def no_images(made: dict) -> None:
    made["images"] = made["annotations"] = []


CHANGES = [None, text_ids, huge_ids, faults, lvis, unlabelled, empty, no_images]


@pytest.mark.parametrize("change", CHANGES)
def test_read_again_it_is_the_same(change, tmp_path, reads, caplog):
    made = content()
    if change is not None:
        change(made)
    path = write(tmp_path / "gt.json", made)
    with caplog.at_level(logging.WARNING):
        first = load_coco_json(path, "/images", NAME)
    facts, warnings = MetadataCatalog.get(NAME).as_dict(), caplog.messages
    assert len(reads) == (2 if change is huge_ids else 1)
    caplog.clear()
    forget()
    reads.clear()
    MetadataCatalog.remove(NAME)
    with caplog.at_level(logging.WARNING):
        again = load_coco_json(path, "/images", NAME)
    assert same(again, first) and reads == []
    assert MetadataCatalog.get(NAME).as_dict() == facts and caplog.messages == warnings
    assert bool(warnings) == (change in (faults, lvis))
    assert [record["image_id"] for record in first] == sorted(
        image["id"] for image in made["images"]
    )


@pytest.mark.parametrize("change", CHANGES)
def test_columns_hold_all_of_it(change, tmp_path):
    made = content()
    if change is not None:
        change(made)
    given = parse_instances(made, "source", None)
    columns = pack_instances(given)
    columns.write(tmp_path / "c", None)
    found = unpack_instances(Columns.open(tmp_path / "c", None), "source")
    order = sorted(range(len(given.image_ids)), key=lambda i: given.image_ids[i])
    assert found.image_ids == [given.image_ids[i] for i in order]
    assert found.file_names == [given.file_names[i] for i in order]
    assert found.image_facts == [given.image_facts[i] for i in order]
    assert np.array_equal(found.sizes, given.sizes[order])
    for name in ("category_ids", "category_names", "category_facts", "num_annotations"):
        assert getattr(found, name) == getattr(given, name)
    assert json.dumps(found.faults.as_json()) == json.dumps(given.faults.as_json())
    if given.annotations is None:
        assert found.annotations is None
        return
    ours, theirs = rows_of(found), rows_of(given)
    assert ours.keys() == theirs.keys() and all(same(ours[id], theirs[id]) for id in ours)


def rows_of(instances) -> dict[Any, list]:
    """What is said of each annotation."""
    table = instances.annotations
    return {
        id: [
            instances.image_ids[image],
            int(table.categories[row]),
            table.boxes[row],
            repr(float(table.areas[row])),
            bool(table.crowds[row]),
            table.segmentations.get(row, *instances.sizes[image].tolist()),
        ]
        for row, (id, image) in enumerate(zip(table.ids, table.images.tolist(), strict=True))
    }


@settings(max_examples=40)
@given(st.data())
def test_records_of_any_order(data):
    made = content()
    made["annotations"] *= 3
    for number, annotation in enumerate(made["annotations"]):
        made["annotations"][number] = {**annotation, "id": number}
    for key in ("images", "annotations"):
        made[key] = data.draw(st.permutations(made[key]))
    kept = data.draw(st.integers(0, len(made["annotations"])))
    del made["annotations"][kept:]
    records = ColumnRecords(pack_instances(parse_instances(made, "source", "/images")))
    assert [record["image_id"] for record in records] == [3, 5, 7]
    for record in records:
        ids = [a["id"] for a in made["annotations"] if a["image_id"] == record["image_id"]]
        assert [annotation["id"] for annotation in record["annotations"]] == ids
        for annotation in record["annotations"]:
            mask = annotation.get("segmentation")
            written = made["annotations"][
                [a["id"] for a in made["annotations"]].index(annotation["id"])
            ]
            assert type(mask) is type(written["segmentation"])
            assert not isinstance(mask, list) or [p.tolist() for p in mask] == [SQUARE, HOLE]


def test_integers_beyond_what_a_float_holds(tmp_path):
    made = content()
    first = (1 << 64) + 1
    for number, image in enumerate(made["images"]):
        image["id"] = first + number
    for annotation in made["annotations"]:
        annotation["image_id"] = first
    records = load_coco_json(write(tmp_path / "gt.json", made), "/")
    assert [r["image_id"] for r in records] == [first, first + 1, first + 2]
    assert [len(r["annotations"]) for r in records] == [7, 0, 0]


@pytest.mark.parametrize("order", [-1, 1])
@pytest.mark.parametrize("start", ["", "\ufeff", " \n"])
def test_lists_in_any_order(tmp_path, order, start):
    made = dict(list(content().items())[::order])
    (tmp_path / "gt.json").write_text(start + json.dumps(made), encoding="utf-8")
    records = load_coco_json(tmp_path / "gt.json", "/")
    assert [r["image_id"] for r in records] == [3, 5, 7]
    assert sum(len(r["annotations"]) for r in records) == len(made["annotations"])


def test_a_changed_file_is_read_again(tmp_path, reads):
    path = write(tmp_path / "gt.json", content())
    load_coco_json(path, "/")
    made = content()
    made["categories"][0]["name"] = "dog2"
    write(path, made)
    load_coco_json(path, "/", NAME)
    assert MetadataCatalog.get(NAME).thing_classes == ["dog", "dog2"]
    assert len(reads) == 2


def test_another_folder_of_images_is_another_reading(tmp_path, reads):
    path = write(tmp_path / "gt.json", content())
    for root in ("/one", "/two", "/one", "/two"):
        assert load_coco_json(path, root)[0]["file_name"] == f"{root}/ä/a.jpg"
    assert len(reads) == 2


def test_sizes_that_are_read_from_images_follow_the_images(tmp_path, reads):
    made = content()
    for image in made["images"]:
        image["file_name"] = f"{image['id']}.png"
        del image["height"], image["width"]
        Image.new("L", (8, 6)).save(tmp_path / image["file_name"])
    path = write(tmp_path / "gt.json", made)
    for _ in range(2):
        assert load_coco_json(path, tmp_path)[0]["height"] == 6
        forget()
    assert len(reads) == 1
    Image.new("L", (8, 16)).save(tmp_path / "3.png")
    assert load_coco_json(path, tmp_path)[0]["height"] == 16 and len(reads) == 2


def test_names_of_other_systems_follow_the_files(tmp_path, reads, caplog):
    made = content()
    made["images"][1]["file_name"] = "a%20b.png"
    path = write(tmp_path / "gt.json", made)
    assert load_coco_json(path, tmp_path)[0]["file_name"].endswith("a%20b.png")
    Image.new("L", (8, 6)).save(tmp_path / "a b.png")
    for _ in range(2):
        forget()
        caplog.clear()
        assert load_coco_json(path, tmp_path)[0]["file_name"].endswith("a b.png")
        assert "a percent sign" in caplog.text
    assert len(reads) == 2


def test_errors_are_not_kept(tmp_path, reads):
    made = content()
    made["annotations"][0]["category_id"] = 1234
    path = write(tmp_path / "gt.json", made)
    for _ in range(2):
        with pytest.raises(DataError, match="1234"):
            load_coco_json(path, "/")
    assert not (tmp_path / "cache").exists()


def test_damage_is_read_around(tmp_path, reads):
    path = write(tmp_path / "gt.json", content())
    first = load_coco_json(path, "/")
    (cached,) = (tmp_path / "cache").rglob("*.columns")
    whole = cached.read_bytes()
    for place in range(20, len(whole), 97):
        damaged = bytearray(whole)
        damaged[place] ^= 255
        cached.write_bytes(damaged)
        forget()
        assert same(load_coco_json(path, "/"), first)
        cached.write_bytes(whole)


def test_a_data_set_that_can_only_be_read(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    path = write(data / "gt.json", content())
    os.chmod(data, 0o555)
    load_coco_json(path, "/")
    assert [p.name for p in data.iterdir()] == ["gt.json"]
    os.chmod(data, 0o755)


def _read_in_process(path: Path) -> int:
    folder._SETTLED_NS = -1_000_000_000
    return len(load_coco_json(path, "/"))


def test_two_processes_at_once(tmp_path):
    path = write(tmp_path / "gt.json", content())
    readers = [ForkedProcess(_read_in_process, path) for _ in range(3)]
    assert [reader.result() for reader in readers] == [3, 3, 3]
    assert len(list((tmp_path / "cache").rglob("*"))) == 2  # the folder and one file


def _train(path: Path) -> list[list[Any]]:
    register_coco_instances(NAME, {}, path, "/")
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = (NAME,)
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.DATALOADER.NUM_WORKERS = 2
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    batches = iter(build_train_loader(cfg, mapper=_ids))
    return [[sample["ids"] for sample in next(batches)] for _ in range(6)]


def _ids(record: dict) -> dict:
    return {"ids": (record["image_id"], [a["id"] for a in record["annotations"]])}


def test_processes_and_workers_read_the_same_columns(tmp_path):
    path = write(tmp_path / "gt.json", content())
    os.utime(path, (1, 1))
    alone = _train(path)
    DatasetCatalog.remove(NAME)
    parts = run_group(_train, path)
    assert [a + b for a, b in zip(*parts, strict=True)] == alone
    seen = {image for batch in alone for image, _ in batch}
    assert seen == {3, 7}  # the third has no object


def test_workers_get_a_path(tmp_path):
    path = write(tmp_path / "gt.json", content())
    register_coco_instances(NAME, {}, path, "/")
    records = get_records(NAME)
    pickled = pickle.dumps(records)
    assert len(pickled) < 600 and same(list(pickle.loads(pickled)), list(records))


def test_evaluation_reads_the_same(tmp_path, reads):
    path = write(tmp_path / "gt.json", content())
    load_coco_json(path, "/")
    instances = read_coco_instances(path, "/")
    assert instances.source == str(path) and instances.image_ids == [3, 5, 7] and len(reads) == 1


@requires_coco_tiny
@pytest.mark.parametrize("split", ["train", "val"])
def test_coco(split, reads):
    root = SHARED / "data" / "coco_tiny"
    path = root / "annotations" / f"instances_{split}2017.json"
    first = load_coco_json(path, root / f"{split}2017")
    forget()
    assert same(load_coco_json(path, root / f"{split}2017"), first) and len(reads) == 1
    assert sum(len(record["annotations"]) for record in first) == {"train": 705, "val": 815}[split]
