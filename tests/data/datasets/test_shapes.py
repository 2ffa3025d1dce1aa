from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from segsuite.data import DatasetCatalog, MetadataCatalog, check_semantic_dataset, read_sem_seg
from segsuite.data.datasets import shapes
from segsuite.data.datasets.shapes_drawing import draw_scene
from tests.processes import wait_until

# Of all files of the set, by path. They are the same on every machine, whatever the versions of
# numpy, zlib and Pillow.
SHA256 = "9f8e53a39753ba3135b470521ab97f00921d6f522638cb23de54232947c3910f"


def digest(folder) -> str:
    sha = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sha.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()


def test_the_same_bytes_on_every_machine(shapes_root):
    assert digest(shapes_root / shapes.FOLDER) == SHA256


def test_catalog(datasets_root):
    assert len(DatasetCatalog.get("shapes_train")) == shapes.NUM_IMAGES["train"]
    assert len(DatasetCatalog.get("shapes_val")) == shapes.NUM_IMAGES["val"]
    metadata = MetadataCatalog.get("shapes_train")
    assert metadata.stuff_classes[0] == "background"
    assert len(metadata.stuff_classes) == len(metadata.stuff_colors) == 6
    check_semantic_dataset("shapes_val", num_classes=6, ignore_label=255)


def test_training_and_validation_differ(shapes_root):
    images = shapes_root / shapes.FOLDER / "images"
    hashes = [hashlib.sha256(p.read_bytes()).digest() for p in images.rglob("*.png")]
    assert len(set(hashes)) == len(hashes) == sum(shapes.NUM_IMAGES.values())


def test_instances_and_label_maps_agree(shapes_root):
    folder = shapes_root / shapes.FOLDER
    coco = COCO(folder / "annotations" / "instances_val.json")
    assert len(coco.imgs) == shapes.NUM_IMAGES["val"]
    for image_id, image in coco.imgs.items():
        labels = read_sem_seg(folder / "labels" / "val" / image["file_name"])
        drawn = np.zeros_like(labels)
        for annotation in coco.imgToAnns[image_id]:
            mask = coco.annToMask(annotation).astype(bool)
            assert not drawn[mask].any(), "visible parts never overlap"
            drawn[mask] = annotation["category_id"]
            assert annotation["area"] == mask.sum() > 0
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            x, y, w, h = annotation["bbox"]
            assert (x, y) == (columns[0], rows[0])
            assert (x + w, y + h) == (columns[-1] + 1, rows[-1] + 1)
        assert np.array_equal(drawn, labels)


def test_every_class_is_there_and_ground_is_seen(shapes_root):
    folder = shapes_root / shapes.FOLDER / "labels" / "val"
    counts = sum(np.bincount(read_sem_seg(p).ravel(), minlength=6) for p in folder.glob("*.png"))
    share = counts / counts.sum()
    assert len(share) == 6 and share.min() > 0.02 and 0.5 < share[0] < 0.85


def test_scenes_follow_from_their_key():
    one, two, other = draw_scene((1, 2)), draw_scene((1, 2)), draw_scene((1, 3))
    assert np.array_equal(one.image, two.image) and np.array_equal(one.labels, two.labels)
    assert not np.array_equal(one.image, other.image)
    assert len(one.class_ids) == len(one.masks)


@pytest.fixture
def small_set(monkeypatch):
    monkeypatch.setattr(shapes, "NUM_IMAGES", {"train": 6, "val": 2})


def _make(root, barrier):
    barrier.wait()
    shapes.ensure_shapes(root)


def test_processes_that_make_it_at_once(tmp_path, small_set):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=_make, args=(tmp_path, barrier)) for _ in range(3)]
    for p in processes:
        p.start()
    for p in processes:
        p.join(60)
    assert [p.exitcode for p in processes] == [0, 0, 0]
    assert os.listdir(tmp_path) == [shapes.FOLDER], "nothing unfinished is left"
    folder = tmp_path / shapes.FOLDER
    assert len(list(folder.rglob("*.png"))) == 16
    assert len(json.loads((folder / "annotations/instances_train.json").read_text())["images"]) == 6


def test_nothing_half_made_is_left_by_an_error(tmp_path, small_set, monkeypatch):
    monkeypatch.setattr(shapes, "draw_scene", lambda key: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        shapes.ensure_shapes(tmp_path)
    assert os.listdir(tmp_path) == []


def _never_finish(root):
    shapes.make_once(root / shapes.FOLDER, lambda folder: signal.pause())


def test_what_a_killed_process_has_left_is_removed(tmp_path, small_set):
    process = multiprocessing.get_context("fork").Process(target=_never_finish, args=(tmp_path,))
    process.start()
    assert wait_until(lambda: os.listdir(tmp_path))
    unfinished = os.listdir(tmp_path)
    shapes.ensure_shapes(tmp_path)
    assert set(os.listdir(tmp_path)) == {shapes.FOLDER, *unfinished}, "another is at work"
    process.kill()
    process.join()
    shutil.rmtree(tmp_path / shapes.FOLDER)
    shapes.ensure_shapes(tmp_path)
    assert os.listdir(tmp_path) == [shapes.FOLDER]


def test_a_root_that_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"can't make the shapes data set.*SEGSUITE_DATASETS"):
        shapes.ensure_shapes(tmp_path / "file")


def test_pictures_can_be_read_by_others(shapes_root):
    folder = shapes_root / shapes.FOLDER
    assert Image.open(folder / "images/val/0000.png").mode == "RGB"
    assert Image.open(folder / "labels/val/0000.png").mode == "P"
