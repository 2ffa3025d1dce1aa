from __future__ import annotations

import os

import pytest

from segsuite.data.datasets.folder import load_sem_seg_folder
from segsuite.data.folders import IMAGE_SUFFIXES, list_files
from segsuite.predict.predict_files import find_inputs


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def names(folder):
    return [path.relative_to(folder).as_posix() for path in list_files(folder, IMAGE_SUFFIXES)]


def test_hidden_files_are_left_out_and_suffixes_are_of_any_case(tmp_path):
    touch(tmp_path, "b.PNG", "a/ü und so.Jpg", "c.npy", "d.tar.tiff", "A/x.webp")
    touch(tmp_path, ".DS_Store", "._b.png", "Thumbs.db", "notes.txt", ".cache/e.png", "png")
    assert names(tmp_path) == ["A/x.webp", "a/ü und so.Jpg", "b.PNG", "c.npy", "d.tar.tiff"]
    assert list_files(tmp_path / "nowhere", IMAGE_SUFFIXES) == []


def test_linked_folders_are_followed_once(tmp_path):
    touch(tmp_path / "in", "real/a.png")
    touch(tmp_path / "far", "b.png")
    os.symlink("../far", tmp_path / "in/far")
    os.symlink("../in", tmp_path / "far/back")
    os.symlink(".", tmp_path / "in/loop")
    os.symlink("real", tmp_path / "in/a_link_to_real")
    os.symlink("nowhere", tmp_path / "in/broken")
    os.symlink("real/a.png", tmp_path / "in/file.png")
    assert names(tmp_path / "in") == ["far/b.png", "file.png", "real/a.png"]


def test_prediction_takes_what_training_takes(tmp_path):
    every = [f"x{i}{suffix}" for i, suffix in enumerate(IMAGE_SUFFIXES)]
    images = touch(tmp_path / "images", *every, ".hidden.png", "notes.txt", "sub/y.png")
    labels = touch(tmp_path / "labels", *(f"x{i}.png" for i in range(len(every))), "sub/y.png")
    os.symlink(".", images / "loop")
    records = load_sem_seg_folder(images, labels)
    assert sorted(r["file_name"] for r in records) == sorted(find_inputs([str(images)]).values())
    assert len(records) == len(every) + 1


class TestOneFolder:
    @pytest.mark.parametrize(
        ("image", "label", "image_suffix", "label_suffix"),
        [("{}.png", "{}_mask.png", ".png", "_mask.png"), ("{}.png", "{}_mask.png", "", "_mask.png"),
         ("{}_img.png", "{}.png", "_img.png", ".png"), ("{}_img.png", "{}.png", "_img.png", ""),
         ("{}.jpg", "{}.png", ".jpg", ".png"), ("{}.jpg", "{}.png", ".jpg", ""),
         ("{}.JPG", "{}_Mask.PNG", ".jpg", "_mask.png"),
         ("{}_sat.jpg", "{}_mask.png", "_sat.jpg", "_mask.png")],
    )  # fmt: skip
    def test_pairs_by_suffix(self, tmp_path, image, label, image_suffix, label_suffix):
        stems = ["0", "1", "sub/0"]
        touch(tmp_path, *(name.format(stem) for stem in stems for name in (image, label)))
        records = load_sem_seg_folder(tmp_path, tmp_path, image_suffix, label_suffix)
        found = [(r["file_name"], r["sem_seg_file_name"], r["image_id"]) for r in records]
        assert found == [
            (str(tmp_path / image.format(s)), str(tmp_path / label.format(s)), s) for s in stems
        ]

    def test_without_suffixes_it_is_asked_for_them(self, tmp_path):
        touch(tmp_path, "a.png", "a_mask.png")
        with pytest.raises(ValueError, match=r"a\.png may be an image or a label.*LABEL_SUFFIX"):
            load_sem_seg_folder(tmp_path, f"{tmp_path}/.")

    def test_a_folder_inside_the_other(self, tmp_path):
        touch(tmp_path, "a.png", "b.png", "masks/a.png", "masks/b.png")
        records = load_sem_seg_folder(tmp_path, tmp_path / "masks")
        assert [r["image_id"] for r in records] == ["a", "b"]
        touch(tmp_path / "masks", "img/a.png", "img/b.png")
        records = load_sem_seg_folder(tmp_path / "masks" / "img", tmp_path / "masks")
        assert records[0]["file_name"] == str(tmp_path / "masks/img/a.png")
        assert records[0]["sem_seg_file_name"] == str(tmp_path / "masks/a.png")


def test_lossy_label_maps_are_paired_to_be_refused(tmp_path):
    images = touch(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")
    labels = touch(tmp_path / "labels", "a.jpg", "b.png", "b.jpg", "c.png", "preview.jpg")
    records = load_sem_seg_folder(images, labels)
    assert [r["sem_seg_file_name"] for r in records] == [
        str(labels / name) for name in ("a.jpg", "b.png", "c.png")
    ]


def test_accents_are_the_same_in_both_ways_to_write_them(tmp_path):
    images = touch(tmp_path / "images", "stra\u00dfe \u00fc.jpg")
    labels = touch(tmp_path / "labels", "stra\u00dfe u\u0308.png")
    (record,) = load_sem_seg_folder(images, labels)
    assert record["image_id"] == "stra\u00dfe \u00fc"
