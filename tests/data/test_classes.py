"""Classes of data sets that are used together."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import DatasetCatalog, MetadataCatalog
from segsuite.data.classes import Agreement, align_classes, compare_classes
from segsuite.errors import ConfigError
from segsuite.runs.weights import class_names

NAMES = ("classes_a", "classes_b")


@pytest.fixture
def register():
    def register(**facts):
        for name, value in zip(NAMES, zip(*facts.values(), strict=True), strict=True):
            DatasetCatalog.register(name, list)
            MetadataCatalog.get(name).set(**dict(zip(facts, value, strict=True)))

    yield register
    for name in NAMES:
        DatasetCatalog.remove(name)


@pytest.mark.parametrize(
    "first, second, agreement",
    [
        (["a", "b"], ["a", "b"], Agreement.SAME),
        (["a", "b"], ["b", "a"], Agreement.REORDERED),
        (["a", "b"], ["a"], Agreement.DIFFERENT),
        (["a", "b"], ["a", "c"], Agreement.DIFFERENT),
        (["a", "a"], ["a", "a"], Agreement.SAME),
        (["a", "a", "b"], ["a", "b", "a"], Agreement.DIFFERENT),
    ],
)
def test_compare(first, second, agreement):
    assert compare_classes(first, second) is agreement


@pytest.mark.parametrize("key", ["thing_classes", "stuff_classes"])
def test_an_order_that_is_in_code_or_label_maps_is_refused(register, key):
    register(**{key: (["a", "b"], ["b", "a"])})
    with pytest.raises(ConfigError, match=r"'classes_a' and 'classes_b'.*another order.*a, b"):
        align_classes(NAMES)


def test_label_maps_of_other_classes_are_told(register, caplog):
    register(stuff_classes=(["road", "sky"], ["street", "sky"]))
    align_classes(NAMES)
    assert "only 'classes_a' has road" in caplog.text and "'classes_b' has street" in caplog.text


def test_weights_are_read_for_the_data_set_that_is_evaluated(register):
    """Rows of classes are brought into its order, whatever that of the training was."""
    register(thing_classes=(["a", "b"], ["b", "a"]))
    cfg = get_cfg()
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = NAMES[:1], NAMES[1:]
    assert class_names(cfg) == {"roi_heads": ["a", "b"]}
    assert class_names(cfg, evaluated=True) == {"roi_heads": ["b", "a"]}
    # Data sets that are not read yet have no names.
    cfg.DATASETS.TRAIN = ("not_read", *NAMES[:1])
    assert class_names(cfg) == {"roi_heads": ["a", "b"]}


class TestRecordsOfAFunction:
    """They are trained on as they are: what is read as something else in a file is refused."""

    @pytest.fixture
    def check(self, tmp_path):
        from segsuite.data.checks import check_instance_dataset, examine_datasets

        pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        good = {"bbox": [1, 1, 9, 9], "category_id": 0, "segmentation": [[1, 1, 10, 1, 10, 10]]}

        def check(**facts):
            if NAMES[0] in DatasetCatalog:
                DatasetCatalog.remove(NAMES[0])
            record = {"file_name": str(tmp_path / "a.png"), "image_id": 1}
            record |= {"annotations": [good, {**good, **facts}]}
            DatasetCatalog.register(NAMES[0], lambda: [record])
            MetadataCatalog.get(NAMES[0]).set(thing_classes=["boat"])
            report = examine_datasets([NAMES[0]])
            check_instance_dataset(NAMES[0], num_classes=1)
            return report

        yield check
        DatasetCatalog.remove(NAMES[0])

    @pytest.mark.parametrize(
        "facts, message",
        [
            ({"segmentation": [[1, 1, float("nan"), 1, 10, 10]]}, "no finite numbers"),
            ({"segmentation": [[1, 1, 10, 1]]}, "fewer than 3 points"),
            ({"segmentation": [1, 1, 10, 1, 10, 10]}, "one polygon, not a list"),
            ({"segmentation": "[[1, 1, 10, 1, 10, 10]]"}, "text"),
            ({"segmentation": {"size": [20, 30], "counts": [5, 6]}}, "add up to 11"),
            ({"segmentation": {"size": [30, 20], "counts": [600]}}, "30 x 20"),
            ({"iscrowd": "0"}, "iscrowd is the text '0'"),
            ({"iscrowd": 7}, "iscrowd is '7'"),
            ({"bbox": [1, 1, float("inf"), 9]}, "expected four numbers"),
            ({"bbox": [1, 1, -9, 9]}, "negative size"),
        ],
    )
    def test_refused(self, check, facts, message):
        with pytest.raises(ValueError, match=rf"a\.png: annotation number 1 .*{message}"):
            check(**facts)
        from segsuite.data.checks import examine_datasets

        assert examine_datasets([NAMES[0]]).count("error") > 0

    @pytest.mark.parametrize("facts", [{"segmentation": None}, {"segmentation": []}])
    def test_objects_without_masks(self, check, caplog, facts):
        assert len(check(**facts).found("mask-missing")) == 1
        assert "1 of 2 objects have no usable mask" in caplog.text

    def test_what_training_passes_over_is_told(self, check, caplog):
        report = check(bbox=[300, 300, 9, 9])
        assert "1 with a bbox outside of the image" in caplog.text
        assert len(report.found("bbox-outside")) == 1

    def test_what_is_not_examined_is_said(self, check):
        report = check(keypoints=[1, 2, 2])
        assert report.found("not-examined") == ["'keypoints' of 1 annotations"]
