from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segsuite.data import (
    DatasetCatalog,
    MetadataCatalog,
    default_colors,
    register_sem_seg_folder,
)
from segsuite.data.datasets.folder import load_sem_seg_folder


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def name():
    """A data set name that is free again afterwards."""
    name = "test_folder_set"
    yield name
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def test_pairs_by_stem_in_nested_folders(tmp_path):
    images = put(tmp_path / "images", "b.jpg", "a/x.jpeg", "a/y.png", "z.JPG")
    labels = put(tmp_path / "labels", "b.png", "a/x.png", "a/y.png", "z.png")
    (images / "notes.txt").write_text("not an image")
    put(images, ".hidden.jpg", ".cache/c.jpg")
    records = load_sem_seg_folder(images, labels)
    assert [r["image_id"] for r in records] == ["a/x", "a/y", "b", "z"]
    assert records[0] == {
        "file_name": str(images / "a/x.jpeg"),
        "sem_seg_file_name": str(labels / "a/x.png"),
        "image_id": "a/x",
    }


def test_suffixes_of_names_that_differ(tmp_path):
    images = put(tmp_path / "images", "ulm/0_leftImg8bit.png", "ulm/0_thumb.png")
    labels = put(tmp_path / "labels", "ulm/0_labelIds.png", "ulm/0_color.png")
    records = load_sem_seg_folder(images, labels, "_leftImg8bit.png", "_labelIds.png")
    assert [r["image_id"] for r in records] == ["ulm/0"]


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"no folder {tmp_path}/nowhere of images; fix"):
        load_sem_seg_folder(tmp_path / "nowhere", tmp_path)


def test_empty_folder(tmp_path):
    images, labels = put(tmp_path / "i", "a.jpg"), tmp_path / "l"
    labels.mkdir()
    with pytest.raises(FileNotFoundError, match=rf"no label maps in {labels}: .* end in \.png"):
        load_sem_seg_folder(images, labels)


def test_image_without_label_names_the_files(tmp_path):
    images = put(tmp_path / "i", *(f"{k}.jpg" for k in "abcdef"))
    labels = put(tmp_path / "l", "a.png")
    with pytest.raises(ValueError) as e:
        load_sem_seg_folder(images, labels)
    assert str(e.value).startswith(f"5 images in {images} without a label map in {labels}: ")
    assert f"{images}/b.jpg, {images}/c.jpg, {images}/d.jpg and 2 more" in str(e.value)
    assert f"such as {labels}/b.png" in str(e.value)


def test_label_without_image_names_the_file(tmp_path):
    images, labels = put(tmp_path / "i", "a.jpg"), put(tmp_path / "l", "a.png", "b.png")
    with pytest.raises(ValueError, match=rf"1 label map in {labels} without .*: {labels}/b\.png\."):
        load_sem_seg_folder(images, labels)


def test_two_files_of_one_stem(tmp_path):
    images, labels = put(tmp_path / "i", "a.jpg", "a.png"), put(tmp_path / "l", "a.png")
    with pytest.raises(ValueError, match=r"a\.(jpg|png) and .*a\.(jpg|png) have the same name"):
        load_sem_seg_folder(images, labels)


def test_registers_in_one_call(tmp_path, name):
    images, labels = put(tmp_path / "i", "a.jpg"), put(tmp_path / "l", "a.png")
    metadata = register_sem_seg_folder(name, images, labels, ["cat", "dog"])
    assert metadata is MetadataCatalog.get(name)
    assert metadata.stuff_classes == ["cat", "dog"] and metadata.ignore_label == 255
    assert metadata.stuff_colors == default_colors(2) and metadata.label_map is None
    assert metadata.evaluator_type == "sem_seg"
    assert len(DatasetCatalog.get(name)) == 1


def test_registering_again_changes_nothing_but_may_not_conflict(tmp_path, name):
    register_sem_seg_folder(name, tmp_path / "i", tmp_path / "l", ["cat"])
    register_sem_seg_folder(name, tmp_path / "i", tmp_path / "l", ["cat"])
    with pytest.raises(ValueError, match="stuff_classes is already"):
        register_sem_seg_folder(name, tmp_path / "i", tmp_path / "l", ["dog"])
    with pytest.raises(ValueError, match="image_root is already"):
        register_sem_seg_folder(name, tmp_path / "other", tmp_path / "l", ["cat"])


def test_label_map_must_lead_to_classes(name):
    with pytest.raises(ValueError, match="label_map leads to 2; expected a class id, 0 to 1, or"):
        register_sem_seg_folder(name, "i", "l", ["a", "b"], label_map={0: 0, 7: 2})
    with pytest.raises(ValueError, match="1 colors for 2 classes"):
        register_sem_seg_folder(name, "i", "l", ["a", "b"], colors=[(0, 0, 0)])
