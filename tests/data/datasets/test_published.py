"""Pascal VOC, Cityscapes, ADE20K and COCO in their published layouts."""

from __future__ import annotations

import numpy as np
import pytest

from segsuite.data import MetadataCatalog, check_semantic_dataset, get_records
from segsuite.data.datasets.coco_sem_seg import (
    PANOPTIC_NAMES,
    THING_NAMES,
    instances_to_sem_seg,
    panoptic_to_sem_seg,
)
from segsuite.data.palette import voc_colors
from segsuite.data.sem_seg import read_sem_seg

from .layouts import make_ade20k, make_cityscapes, make_coco, make_voc


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGSUITE_DATASETS", str(tmp_path))
    return tmp_path


def labels(name, index=0):
    record = get_records([name])[index]
    return read_sem_seg(record["sem_seg_file_name"], record["label_map"])


def values(name):
    return set(np.unique(labels(name)).tolist())


def ids(name):
    return [record["image_id"] for record in get_records([name])]


def classes(name):
    return MetadataCatalog.get(name).stuff_classes


@pytest.mark.parametrize(
    "make, name, num_classes",
    [
        (make_voc, "voc_2012_sem_seg_train", 21),
        (make_cityscapes, "cityscapes_fine_sem_seg_val", 19),
        (make_ade20k, "ade20k_sem_seg_val", 150),
        (make_coco, "coco_stuff_sem_seg_train", 171),
    ],
)
def test_passes_the_check(root, make, name, num_classes):
    make(root)
    check_semantic_dataset(name, num_classes=num_classes, ignore_label=255)
    metadata = MetadataCatalog.get(name)
    assert len(metadata.stuff_colors) == len(set(metadata.stuff_classes)) == num_classes


class TestVOC:
    def test_the_lists_say_what_is_in_a_split(self, root):
        make_voc(root)
        assert ids("voc_2012_sem_seg_train") == ["2012_000001", "2012_000002", "2012_000003"]
        assert ids("voc_2012_sem_seg_val") == ["2012_000004", "2012_000005"]
        assert values("voc_2012_sem_seg_val") == {0, 8, 14, 255}
        names = classes("voc_2012_sem_seg_val")
        assert names[0] == "background" and names[8] == "cat" and names[14] == "motorbike"

    def test_2007_has_a_test_split(self, root):
        make_voc(root, 2007)
        assert ids("voc_2007_sem_seg_test") == ["2007_000006"]

    def test_folder_without_devkit(self, root):
        make_voc(root, folder=".")
        assert len(ids("voc_2012_sem_seg_trainval")) == 5

    def test_augmented_list(self, root):
        """VOC's own label map goes before that of SBD."""
        voc = make_voc(root)
        (voc / "ImageSets/Segmentation/trainaug.txt").write_text("2012_000001\n2012_000009\n")
        (voc / "SegmentationClassAug").mkdir()
        for name in ("2012_000001", "2012_000009"):
            source = voc / "SegmentationClass" / "2012_000002.png"
            (voc / "SegmentationClassAug" / f"{name}.png").write_bytes(source.read_bytes())
        files = [r["sem_seg_file_name"] for r in get_records(["voc_2012_sem_seg_trainaug"])]
        assert files == [
            str(voc / "SegmentationClass" / "2012_000001.png"),
            str(voc / "SegmentationClassAug" / "2012_000009.png"),
        ]

    def test_missing_list_and_files(self, root):
        with pytest.raises(FileNotFoundError, match=r"no list .*VOC2012/.*/train\.txt.*SEGSUITE_D"):
            get_records(["voc_2012_sem_seg_train"])
        with pytest.raises(FileNotFoundError, match=r"segsuite prepare voc_2012_aug"):
            get_records(["voc_2012_sem_seg_trainaug"])
        voc = make_voc(root)
        (voc / "SegmentationClass" / "2012_000002.png").unlink()
        with pytest.raises(FileNotFoundError, match=r"train\.txt names '2012_000002', .*02\.png"):
            get_records(["voc_2012_sem_seg_train"])
        (voc / "JPEGImages" / "2012_000001.jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"no file .*JPEGImages/2012_000001\.jpg"):
            get_records(["voc_2012_sem_seg_train"])
        (voc / "ImageSets/Segmentation/val.txt").write_text("\n")
        with pytest.raises(ValueError, match=r"val\.txt is empty"):
            get_records(["voc_2012_sem_seg_val"])

    def test_palette(self):
        assert voc_colors(256)[:3] == [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
        assert voc_colors(256)[20] == (0, 64, 128) and voc_colors(256)[255] == (224, 224, 192)
        assert len(set(voc_colors(256))) == 256


def test_cityscapes_ids_become_training_ids(root):
    make_cityscapes(root)
    name = "cityscapes_fine_sem_seg_train"
    assert ids(name) == ["ulm/ulm_000000_000019", "ulm/ulm_000001_000019"]
    found = labels(name)
    assert found[-1, 0] == 0 and classes(name)[found[5, 3]] == "car"
    # 7 is the road; 26, 32 and 33 are car, motorcycle and bicycle; 9, 30 and others do not count.
    expected = {7: 0, 8: 1, 11: 2, 24: 11, 26: 13, 32: 17, 33: 18, 9: 255, 30: 255, 6: 255}
    for stored, label in expected.items():
        assert found[0, stored - 2] == label
    assert values(name) == {*range(19), 255}


def test_ade20k_counts_from_one(root):
    make_ade20k(root)
    assert values("ade20k_sem_seg_train") == {255, 0, 12, 149}
    names = classes("ade20k_sem_seg_train")
    assert names[0] == "wall" and names[12] == "person" and names[149] == "flag"


class TestCOCO:
    def test_stuff_stores_category_ids_less_one(self, root):
        make_coco(root)
        names = classes("coco_stuff_sem_seg_val")
        found = {names[v] for v in values("coco_stuff_sem_seg_val") - {255}}
        assert found == {"cat", "motorcycle", "tree"}
        assert names[79] == "toothbrush" and names[80] == "banner" and names[170] == "wood"

    def test_instances(self, root):
        """The polygon and the crowd overlap in two columns, which are then nobody's."""
        coco = make_coco(root)
        output = coco / "sem_seg_things/train2017"
        writer = instances_to_sem_seg(
            coco / "annotations/instances_train2017.json", output, THING_NAMES
        )
        paths = list(writer)
        assert len(writer) == len(paths) == 3
        names = classes("coco_things_sem_seg_train")
        cat, motorcycle = names.index("cat"), names.index("motorcycle")
        expected = np.zeros((24, 32), np.uint8)
        expected[4:14, 2:7], expected[4:14, 9:20], expected[4:14, 7:9] = cat, motorcycle, 255
        assert np.array_equal(labels("coco_things_sem_seg_train"), expected)
        assert not labels("coco_things_sem_seg_train", 2).any()

    def test_panoptic(self, root):
        coco = make_coco(root)
        list(
            panoptic_to_sem_seg(
                coco / "annotations/panoptic_val2017.json",
                coco / "sem_seg_panoptic/val2017",
                PANOPTIC_NAMES,
            )
        )
        found, names = labels("coco_panoptic_sem_seg_val"), classes("coco_panoptic_sem_seg_val")
        assert set(found[0]) == {255}
        assert names[found[5, 3]] == "cat" and names[found[20, 3]] == "tree-merged"

    def test_unknown_category(self, root):
        json_file = make_coco(root) / "annotations/instances_val2017.json"
        with pytest.raises(ValueError, match=r"instances_val2017\.json .* category 17; expected"):
            list(instances_to_sem_seg(json_file, root / "out", [3, 4]))

    def test_files_that_are_there_are_left_alone(self, root):
        json_file = make_coco(root) / "annotations/instances_val2017.json"
        (first, *_) = list(instances_to_sem_seg(json_file, root / "out", THING_NAMES))
        first.write_text("mine")
        list(instances_to_sem_seg(json_file, root / "out", THING_NAMES))
        assert first.read_text() == "mine"

    def test_names(self):
        assert len(classes("coco_things_sem_seg_train")) == 81
        assert classes("coco_things_sem_seg_train")[17] == "dog"
        names = classes("coco_panoptic_sem_seg_train")
        assert len(names) == 133 and names[80] == "banner" and names[116] == "tree-merged"
