from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import (
    DatasetCatalog,
    MetadataCatalog,
    check_datasets,
    check_semantic_dataset,
    register_sem_seg_folder,
)
from segsuite.data.checks import examine_datasets
from segsuite.errors import ConfigError, DataError

NAME = "test_checks"


@pytest.fixture
def folder(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for k in range(8):
        Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "images" / f"{k}.jpg")
        Image.fromarray(np.full((6, 8), k % 3, np.uint8)).save(tmp_path / "labels" / f"{k}.png")
    yield tmp_path
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def register(folder, **kwargs):
    register_sem_seg_folder(NAME, folder / "images", folder / "labels", ["a", "b", "c"], **kwargs)


def check(**kwargs):
    return check_semantic_dataset(NAME, **{"num_classes": 3, "ignore_label": 255, **kwargs})


def write(path, array):
    Image.fromarray(array).save(path)
    return path


def test_a_good_data_set(folder):
    register(folder)
    check()


def test_value_outside_the_classes(folder):
    labels = np.zeros((6, 8), np.uint8)
    labels[0, :5], labels[1, :2], labels[2] = 3, 200, 255
    path = write(folder / "labels" / "4.png", labels)
    register(folder)
    with pytest.raises(ValueError) as e:
        check()
    assert f"data set '{NAME}': 1 of 8 images or their label maps can't be used" in str(e.value)
    assert f"{path} holds the label 3 (5 pixels), 200 (2 pixels)" in str(e.value)
    assert "expected 0 to 2, or 255 for pixels to leave out" in str(e.value)
    assert "label_map" in str(e.value)


def test_many_bad_files_are_counted(folder):
    for k in range(8):
        write(folder / "labels" / f"{k}.png", np.full((6, 8), 7, np.uint8))
    register(folder)
    with pytest.raises(ValueError, match=r"8 of 8 images or[\s\S]*\.\.\. and 3 more files"):
        check()


def test_value_that_the_label_map_lacks(folder):
    register(folder, label_map={0: 0, 1: 1})
    with pytest.raises(ValueError, match=r"2\.png holds the value 2 \(48 pixels\).*label_map"):
        check()


def test_size_mismatch(folder):
    write(folder / "labels" / "1.png", np.zeros((8, 6), np.uint8))
    register(folder)
    with pytest.raises(ValueError, match=r"1\.jpg has 6 x 8 pixels, its label map .*1\.png 8 x 6"):
        check()


def test_rgb_labels(folder):
    path = write(folder / "labels" / "1.png", np.zeros((6, 8, 3), np.uint8))
    register(folder)
    with pytest.raises(ValueError, match=rf"{path} is a RGB image.*colors_to_labels"):
        check()


def test_a_grey_picture_as_labels(folder):
    write(folder / "labels" / "1.png", np.arange(48, dtype=np.uint8).reshape(6, 8) * 5)
    register(folder)
    with pytest.raises(ValueError, match="look like a grey picture"):
        check()


def test_truncated_label_map(folder):
    noise = np.random.default_rng(0).integers(0, 3, (6, 8), dtype=np.uint8)
    path = write(folder / "labels" / "1.png", noise)
    path.write_bytes(path.read_bytes()[:50])
    register(folder)
    with pytest.raises(ValueError, match=r"1\.png"):
        check()


@pytest.mark.parametrize("suffix, missing", [(".jpg", 20), (".png", 60)])
def test_truncated_image(folder, suffix, missing):
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    (folder / "images" / "1.jpg").unlink()
    path = write(folder / "images" / f"1{suffix}", pixels)
    path.write_bytes(path.read_bytes()[:-missing])
    register(folder)
    with pytest.raises(ValueError, match=rf"{path} can't be decoded: .*cut short"):
        check()


def test_image_that_is_none(folder):
    (folder / "images" / "1.jpg").write_text("oops")
    register(folder)
    with pytest.raises(ValueError, match=r"1\.jpg \(4 bytes\) is not an image"):
        check()


def test_class_count(folder):
    register(folder)
    with pytest.raises(ValueError, match=r"3 classes \(a, b, c\) .*NUM_CLASSES is 5; set it to 3"):
        check(num_classes=5)


def test_ignore_label(folder):
    register(folder, ignore_label=11)
    with pytest.raises(ValueError, match=r"with 11 but .*IGNORE_VALUE is 255; set it to 11, or"):
        check()


def test_labels_are_read_only_when_asked(folder):
    write(folder / "labels" / "4.png", np.full((6, 8), 99, np.uint8))
    register(folder)
    check(read_labels=False)
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = (NAME,)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 3
    with pytest.raises(ValueError, match=r"4\.png holds the label 99 \(48 pixels\)"):
        check_datasets(cfg)
    cfg.DATALOADER.CHECK_LABELS = False
    check_datasets(cfg)


class TestUnchanged:
    """Files that were checked before are not read again."""

    @pytest.fixture(autouse=True)
    def _settled(self, tmp_path_factory, monkeypatch):
        monkeypatch.setenv("SEGSUITE_CACHE", str(tmp_path_factory.mktemp("cache")))
        monkeypatch.setattr("segsuite.data.cache.folder._SETTLED_NS", -1_000_000_000)

    def test_the_log_says_what_is_trusted(self, folder, caplog):
        register(folder)
        with caplog.at_level("INFO", "segsuite"):
            check()
            assert "unchanged" not in caplog.text
            check()
        assert f"data set '{NAME}': 8 of 8 images and their label maps were checked on 2" in (
            caplog.text
        )
        assert "unchanged: not read again (DATALOADER.CHECK_ANEW True reads them)" in caplog.text

    @pytest.mark.parametrize("kind", ["images/3.jpg", "labels/3.png"])
    def test_damage_that_comes_later_is_found(self, folder, kind):
        register(folder)
        check()
        (folder / kind).write_bytes(b"damaged")
        for _ in range(2):
            with pytest.raises(ValueError, match=r"3\.(jpg|png)"):
                check()

    def test_damage_behind_its_back_is_found_anew(self, folder, monkeypatch):
        register(folder)
        check()
        # As a disk that rots: nothing that a file system tells has changed.
        monkeypatch.setattr("segsuite.data.cache.results.file_state", lambda path: (1, 1, 1, 1))
        check()
        (folder / "labels" / "3.png").write_bytes(b"damaged")
        check()
        cfg = get_cfg()
        cfg.DATASETS.TRAIN = (NAME,)
        cfg.DATASETS.TEST = ()
        cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 3
        check_datasets(cfg)
        cfg.DATALOADER.CHECK_ANEW = True
        with pytest.raises(ValueError, match=r"3\.png"):
            check_datasets(cfg)
        cfg.DATALOADER.CHECK_ANEW = False
        with pytest.raises(ValueError, match=r"3\.png"):
            check_datasets(cfg)

    def test_with_another_label_map_they_are_read_again(self, folder):
        write(folder / "labels" / "4.png", np.full((6, 8), 200, np.uint8))
        register(folder, label_map={0: 0, 1: 1, 2: 2, 200: 255})
        check()
        DatasetCatalog.remove(NAME)
        register(folder)
        with pytest.raises(ValueError, match="holds the label 200"):
            check()


class TestNothingToLearn:
    """It is said before the training, with numbers."""

    def labels(self, folder, *maps):
        for k in range(8):
            (folder / "images" / f"{k}.jpg").unlink()
            (folder / "labels" / f"{k}.png").unlink()
        for k, labels in enumerate(maps):
            write(folder / "images" / f"{k}.jpg", np.zeros((6, 8, 3), np.uint8))
            write(folder / "labels" / f"{k}.png", np.array(labels, np.uint8))

    def config(self, **keys):
        cfg = get_cfg()
        cfg.DATASETS.TRAIN = (NAME,)
        cfg.MODEL.SEM_SEG_HEAD.merge_from_list([x for pair in keys.items() for x in pair])
        return cfg

    def test_everything_is_ignored(self, folder, caplog):
        self.labels(folder, np.full((6, 8), 255), np.full((6, 8), 255))
        register(folder)
        message = "has no labelled pixel: all 96 pixels of its 2 label maps are 255"
        with pytest.raises(DataError, match=message):
            check()
        cfg = self.config(NUM_CLASSES=3)
        with pytest.raises(DataError, match=message):
            check_datasets(cfg)
        cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (), (NAME,)
        check_datasets(cfg)
        assert message in caplog.text

    def test_the_doctor_says_so_too(self, folder):
        self.labels(folder, np.full((6, 8), 255), np.full((6, 8), 255))
        register(folder)
        report = examine_datasets([NAME])
        assert report.found("nothing-labelled") == [NAME] and report.count("error")

    def test_the_label_map_leads_everything_to_the_ignored_label(self, folder):
        register(folder, label_map={0: 255, 1: 255, 2: 255})
        with pytest.raises(DataError, match=r"no labelled pixel.*its label_map, \{0: 255, 1: 255"):
            check()

    def test_some_maps_are_empty(self, folder, caplog):
        write(folder / "labels" / "5.png", np.full((6, 8), 255, np.uint8))
        register(folder)
        amounts = check()
        assert "1 of 8 label maps hold nothing but 255" in caplog.text
        assert "5.png" in caplog.text and amounts.pixels == {0: 144, 1: 144, 2: 48, 255: 48}

    def test_classes_without_a_pixel(self, folder, caplog):
        self.labels(folder, np.zeros((6, 8)), np.ones((6, 8)))
        register(folder)
        check_datasets(self.config(NUM_CLASSES=3))
        (message,) = [r.getMessage() for r in caplog.records]
        assert message == (
            f"data set '{NAME}': no pixel in 2 label maps is of the class 2 (c); it will never be "
            "learnt"
        )

    def test_a_class_of_one_set_need_not_be_in_the_other(self, folder, caplog):
        self.labels(folder, np.zeros((6, 8)), np.ones((6, 8)))
        register(folder)
        other = "test_checks_other"
        (folder / "more").mkdir()
        for k in range(2):
            write(folder / "more" / f"{k}.png", np.full((6, 8), 2, np.uint8))
        register_sem_seg_folder(other, folder / "images", folder / "more", ["a", "b", "c"])
        cfg = self.config(NUM_CLASSES=3)
        cfg.DATASETS.TRAIN = (NAME, other)
        check_datasets(cfg)
        DatasetCatalog.remove(other)
        assert caplog.text == ""

    @pytest.mark.parametrize("classes", [["roof"], ["ground", "roof"]])
    def test_masks_of_0_and_255(self, folder, classes):
        mask = np.zeros((6, 8))
        mask[2:4] = 255
        self.labels(folder, mask, np.zeros((6, 8)))
        register_sem_seg_folder(NAME, folder / "images", folder / "labels", classes)
        expected = (
            r"hold nothing but 0 \(80 pixels\) and 255 \(16 pixels\).*no pixel of 'roof'.*"
            r"LABEL_MAP: \{0: 0, 255: 1\}"
        )
        with pytest.raises(DataError, match=expected):
            check_datasets(self.config(NUM_CLASSES=len(classes)))

    def test_masks_of_0_and_255_with_their_label_map(self, folder):
        mask = np.zeros((6, 8))
        mask[2:4] = 255
        self.labels(folder, mask)
        options = {"label_map": {0: 0, 255: 1}}
        register_sem_seg_folder(NAME, folder / "images", folder / "labels", ["roof"], **options)
        for num_classes in (1, 2):  # a sigmoid, or a softmax of background and the class
            check_datasets(self.config(NUM_CLASSES=num_classes))
        report = examine_datasets([NAME])
        assert not report.count("error") and not report.found("binary-mask")
        with pytest.raises(ConfigError, match=r"has 1 classes .*NUM_CLASSES is 3"):
            check_datasets(self.config(NUM_CLASSES=3))

    def test_one_label_alone_teaches_a_sigmoid_nothing(self, folder, caplog):
        self.labels(folder, np.zeros((6, 8)))
        register_sem_seg_folder(NAME, folder / "images", folder / "labels", ["roof"])
        message = r"of the class 1 \(roof\); .* Every labelled pixel is 0 \(background\)"
        with pytest.raises(DataError, match=message):
            check_datasets(self.config(NUM_CLASSES=1))
        report = examine_datasets([NAME], cfg=self.config(NUM_CLASSES=1))
        assert report.found("dataset-refused") == [NAME] and re.search(message, report.text())
        check_datasets(self.config(NUM_CLASSES=2))
        assert "nothing to tell apart" in caplog.text
