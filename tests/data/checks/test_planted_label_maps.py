"""Damage done to copies of CamVid images is found and named; the undamaged copies are clean."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segsuite.data import DatasetCatalog, MetadataCatalog, register_sem_seg_folder
from segsuite.data.checks import KINDS, examine_datasets, write_fixed_copy
from segsuite.errors import FileAccessError
from tests.helpers import SHARED, requires_camvid

from .planted import assert_found, contents

TRAIN, VAL = "planted_train", "planted_val"


class Copy:
    """Copies of CamVid images and label maps, in numbered pairs."""

    def __init__(self, root: Path, source: str, count: int):
        camvid = SHARED / "data" / "camvid"
        self.images, self.labels = root / "images", root / "labels"
        self.images.mkdir(parents=True)
        self.labels.mkdir()
        # Far apart, as neighbours in the video look alike.
        files = sorted((camvid / "images" / source).iterdir())[:: 360 // 40 if count > 10 else 20]
        for i, file in enumerate(files[:count]):
            shutil.copyfile(file, self.image(i))
            shutil.copyfile(camvid / "labels" / source / f"{file.stem}.png", self.label(i))

    def image(self, i: int) -> Path:
        return self.images / f"{i:02d}.jpg"

    def label(self, i: int) -> Path:
        return self.labels / f"{i:02d}.png"

    def pixels(self, i: int) -> np.ndarray:
        return np.array(Image.open(self.label(i)))

    def write(self, i: int, pixels: np.ndarray) -> None:
        Image.fromarray(pixels).save(self.label(i))

    def register(self, name: str) -> None:
        metadata = MetadataCatalog.get("camvid_train")
        register_sem_seg_folder(
            name,
            self.images,
            self.labels,
            metadata.stuff_classes,
            colors=metadata.stuff_colors,
            label_map=metadata.label_map,
        )


@pytest.fixture
def copies(tmp_path):
    train, val = Copy(tmp_path / "train", "train", 36), Copy(tmp_path / "val", "val", 5)
    train.register(TRAIN)
    val.register(VAL)
    yield train, val
    for name in (TRAIN, VAL, "fixed"):
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def save_with_orientation(path: Path, orientation: int) -> None:
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, quality=95)


def plant(train: Copy, val: Copy) -> dict[tuple[str, str], str]:
    """Do the damage; gives (kind, file) of each, with what was done."""
    planted: dict[tuple[str, str], str] = {}

    def damaged(kind: str, path: Path, how: str) -> None:
        planted[kind, str(path)] = how

    truncate(train.image(0))
    damaged("image-truncated", train.image(0), "a JPEG cut in half")
    train.image(1).write_text("<html>404 Not Found</html>")
    damaged("image-unreadable", train.image(1), "an error page")
    train.image(2).write_bytes(b"")
    damaged("image-unreadable", train.image(2), "an empty file")
    truncate(train.label(3))
    damaged("labels-unreadable", train.label(3), "a PNG cut in half")
    train.label(4).unlink()
    damaged("image-without-labels", train.image(4), "its label map removed")
    train.image(5).unlink()
    damaged("labels-without-image", train.label(5), "its image removed")
    train.write(6, train.pixels(6)[:180])
    damaged("size-mismatch", train.label(6), "half of the rows")
    train.write(7, train.pixels(7).T.copy())
    damaged("size-mismatch", train.label(7), "turned")
    pixels = train.pixels(8)
    pixels[:3, :7] = 77
    train.write(8, pixels)
    damaged("label-value", train.label(8), "21 pixels of a class that is none")
    pixels = train.pixels(9)
    pixels[pixels == 11] = 255
    pixels[0, 0] = 255
    train.write(9, pixels)
    damaged("ignore-value", train.label(9), "void as 255")
    colors = np.array([*MetadataCatalog.get(TRAIN).stuff_colors, (0, 0, 0)], np.uint8)
    pixels = train.pixels(10)
    pixels[pixels == 11] = 0
    train.write(10, colors[pixels])
    damaged("labels-rgb", train.label(10), "drawn in the colours of the classes")
    train.write(11, np.stack([train.pixels(11)] * 3, -1))
    damaged("labels-rgb", train.label(11), "three equal channels")
    train.write(12, np.where(train.pixels(12) == 3, 255, 0).astype(np.uint8))
    damaged("binary-mask", train.label(12), "the road in white")
    image = Image.fromarray(train.pixels(13))
    image.putpalette(colors.ravel().tolist())
    image.save(train.label(13))
    damaged("labels-palette", train.label(13), "with a palette")
    train.write(14, np.array(Image.open(train.image(14)).convert("L")))
    damaged("labels-photo", train.label(14), "the grey picture as its labels")
    train.write(15, np.full_like(train.pixels(15), 11))
    damaged("labels-empty", train.label(15), "all void")
    save_with_orientation(train.image(16), 6)
    damaged("exif-rotation", train.image(16), "turned by a quarter")
    damaged("size-mismatch", train.label(16), "... so that the size differs")
    save_with_orientation(train.image(17), 3)
    damaged("exif-rotation", train.image(17), "upside down")
    Image.new("RGB", (480, 360), (20, 30, 40)).save(train.image(18))
    damaged("image-blank", train.image(18), "one colour")
    Image.open(train.image(19)).save(train.image(19), format="PNG")
    damaged("image-suffix", train.image(19), "a PNG named .jpg")
    Image.open(train.image(20)).convert("CMYK").save(train.image(20))
    damaged("image-mode", train.image(20), "for printing")
    shutil.copyfile(train.image(21), train.image(22))
    damaged("duplicate-image", train.image(22), "a copy of the one before")
    Image.open(train.image(23)).save(train.image(24), quality=60)
    damaged("near-duplicate", train.image(24), "compressed again")
    shutil.copyfile(train.image(25), val.image(0))
    damaged("leakage", val.image(0), "a training image")
    Image.open(train.image(26)).resize((240, 180)).resize((480, 360)).save(val.image(1))
    damaged("near-leakage", val.image(1), "a training image, blurred")
    for i in range(5):
        pixels = val.pixels(i)
        pixels[pixels == 10] = 11
        val.write(i, pixels)
    planted["class-unseen", "class 10 (bicyclist)"] = "no bicyclist in val"
    pixels = train.pixels(27).astype(np.uint16) * 256
    train.write(27, pixels)
    damaged("label-value", train.label(27), "16 bit, 256 times as large")
    return planted


@requires_camvid
def test_undamaged_copies(copies):
    report = examine_datasets([TRAIN, VAL])
    assert report.count("error") == 0, report.text()
    statistics = report.statistics[TRAIN]
    assert statistics["images"] == 36
    assert sum(c["share"] for c in statistics["classes"]) == pytest.approx(1)


@requires_camvid
def test_planted_damage_is_found_and_named(copies):
    train, val = copies
    before = {f.name for f in train.labels.iterdir()}
    planted = plant(train, val)
    assert len({kind for kind, _ in planted}) >= 20
    report = examine_datasets([TRAIN, VAL])
    assert_found(planted, report)
    assert before - {f.name for f in train.labels.iterdir()} == {"04.png"}


@requires_camvid
def test_mended_copy(copies, tmp_path):
    train, val = copies
    plant(train, val)
    road = train.pixels(9) == 3
    before = contents(tmp_path)
    changes = "\n".join(write_fixed_copy(TRAIN, tmp_path / "fixed"))
    for i, reason in {0: "image-truncated", 4: "alone", 7: "size-mismatch", 22: "the same"}.items():
        assert f"left out {train.image(i)}: {reason}" in changes
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    fixed = MetadataCatalog.get(TRAIN)
    register_sem_seg_folder(
        "fixed",
        tmp_path / "fixed" / "images",
        tmp_path / "fixed" / "labels",
        fixed.stuff_classes,
        label_map=fixed.label_map,
    )
    report = examine_datasets(["fixed"])
    left = {
        Path(w).stem
        for f in ("label-value", "labels-photo", "binary-mask")
        for w in report.found(f)
    }
    assert left == {"08", "12", "14", "27"}  # what only a person can put right
    assert report.count("error") == 4, report.text()
    fixed = np.array(Image.open(tmp_path / "fixed" / "labels" / "09.png"))
    assert np.array_equal(fixed == 3, road) and set(np.unique(fixed)) <= set(range(12))
    turned = Image.open(tmp_path / "fixed" / "images" / "17.png")
    assert turned.size == (480, 360) and not turned.getexif()
    with pytest.raises(FileAccessError, match="not empty"):
        write_fixed_copy(TRAIN, tmp_path / "fixed")


def test_every_kind_says_what_to_do():
    for severity, meaning in KINDS.values():
        assert severity in ("error", "warning", "note") and len(meaning) > 20
