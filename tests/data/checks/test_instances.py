"""What is said of objects before training, and classes of data sets that are used together."""

from __future__ import annotations

import json
import re

import pytest

from segsuite.config import get_cfg
from segsuite.data import DatasetCatalog, MetadataCatalog, check_datasets, register_coco_instances
from segsuite.data.checks import check_instance_dataset, examine_datasets
from segsuite.errors import ConfigError
from segsuite.evaluation.coco import COCOEvaluator
from tests.data.datasets.odd_worlds import NAME, World, changed, make_content, make_results


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    yield World(tmp_path_factory.mktemp("world"))
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


class TestTheCheck:
    def test_objects_without_masks(self, world, caplog):
        world.write(changed("segmentation", []))
        assert len(world.train()) == 2
        assert "1 of 2 objects have no usable mask (annotation 1)" in caplog.text
        assert "INPUT.MASKS_FROM_BOXES" in caplog.text
        assert ("warning", "mask-missing") in world.examine()
        caplog.clear()
        check_instance_dataset(NAME, num_classes=2, use_masks=False)
        assert not caplog.text

    @pytest.mark.parametrize("crowd", [True, False])
    def test_nothing_to_learn(self, world, caplog, crowd):
        content = make_content()
        if crowd:
            for annotation in content["annotations"]:
                annotation["iscrowd"] = 1
        else:
            content["annotations"] = []
        world.write(content)
        world.train()
        what = "all 2 objects of its 1 images are crowds" if crowd else "1 images have no object"
        assert "has nothing to learn" in caplog.text and what in caplog.text

    @pytest.mark.parametrize(
        ("key", "value", "words"),
        [
            ("iscrowd", 1, "no image of .* has an object that is no crowd"),
            (None, None, "no image of .* has an object that is no crowd"),
            ("segmentation", [], "has boxes but no mask"),
        ],
    )
    def test_what_training_refuses_the_doctor_calls_an_error(self, world, key, value, words):
        content = make_content()
        for annotation in content["annotations"]:
            annotation[key] = value
        content["annotations"] = content["annotations"] if key else []
        world.write(content)
        world.register()
        cfg = get_cfg()
        cfg.DATASETS.TRAIN, cfg.MODEL.MASK_ON, cfg.MODEL.ROI_HEADS.NUM_CLASSES = (NAME,), True, 2
        report = examine_datasets([NAME], cfg=cfg)
        assert report.found("dataset-refused") == [NAME] and re.search(words, report.text())
        cfg.DATASETS.TRAIN = ()
        assert not examine_datasets([NAME], cfg=cfg).found("dataset-refused")

    def test_crowds_are_reported_with_their_share(self, world):
        world.write(changed("iscrowd", 1))
        world.register()
        report = examine_datasets([NAME])
        assert report.found("crowds") == ["1 of 2 objects (50.0 %)", "1 of 1 objects of boat"]
        assert report.count("error") == 0

    def test_the_area_of_a_crowd_is_not_compared(self, world):
        content = changed("iscrowd", 1)
        content["annotations"][0]["area"] = 3.0
        world.write(content)
        assert not any(kind == "area-wrong" for _, kind in world.examine())

    def test_more_than_100_objects(self, world, caplog):
        content = make_content()
        first = content["annotations"][0]
        content["annotations"] = [{**first, "id": k} for k in range(101)]
        world.write(content)
        world.train()
        assert "101 of boat" in caplog.text and "100 best detections" in caplog.text
        assert ("warning", "many-objects") in world.examine()


class TestClassNames:
    @pytest.fixture
    def cfg(self, world):
        """Of two data sets, whose categories a test sets with ``write``."""
        names = ("odd_train", "odd_test")
        cfg = get_cfg()
        cfg.merge_from_list(["DATASETS.TRAIN", names[:1], "DATASETS.TEST", names[1:]])
        cfg.MODEL.ROI_HEADS.NUM_CLASSES = 2

        def write(*lists):
            for name, categories in zip(names, lists, strict=True):
                content = make_content()
                content["categories"] = [{"id": i, "name": c} for i, c in enumerate(categories, 1)]
                path = world.folder / f"{name}.json"
                path.write_text(json.dumps(content))
                if name in DatasetCatalog:
                    DatasetCatalog.remove(name)
                register_coco_instances(name, {}, path, world.folder / "images")
            return cfg

        yield write
        for name in names:
            DatasetCatalog.remove(name)

    def test_another_order_is_matched_by_name(self, cfg, caplog, world):
        config = cfg(["boat", "buoy"], ["buoy", "boat"])
        report = examine_datasets(["odd_train", "odd_test"], cfg=config)
        assert report.found("classes-reordered") == ["odd_test"]
        check_datasets(config)
        assert all(w in caplog.text for w in ("'odd_train'", "'odd_test'", "buoy, boat"))
        metadata = MetadataCatalog.get("odd_test")
        assert metadata.thing_classes == ["boat", "buoy"]
        assert metadata.thing_dataset_id_to_contiguous_id == {1: 1, 2: 0}
        (record,) = DatasetCatalog.get("odd_test")
        assert [a["category_id"] for a in record["annotations"]] == [1, 0]
        # Category 1 is a buoy there, and class 1 of the model.
        results = world.folder / "odd_results.json"
        results.write_text(json.dumps(make_results()[:1]))
        figures = COCOEvaluator(config, "odd_test").evaluate_file(results)["bbox"]
        assert figures["AP-buoy"] == pytest.approx(100) and figures["AP-boat"] == 0
        report = examine_datasets(["odd_train", "odd_test"], cfg=config)
        assert not report.found("classes-differ") and not report.found("num-classes")

    def test_other_classes_are_an_error_with_both_lists(self, cfg):
        for lists in (
            (["boat", "buoy", "sail"], ["boat", "buoy"]),
            (["boat", "buoy"], ["boat", "sail"]),
        ):
            config = cfg(*lists)
            for number in (2, 3):
                config.MODEL.ROI_HEADS.NUM_CLASSES = number
                with pytest.raises(ConfigError) as e:
                    check_datasets(config)
                assert f"'odd_train' has {len(lists[0])}: {', '.join(lists[0])}" in str(e.value)
                assert f"'odd_test' has 2: {', '.join(lists[1])}" in str(e.value)
                assert "sail" in str(e.value) and "set it to" not in str(e.value)
            report = examine_datasets(["odd_train", "odd_test"], cfg=config)
            assert report.found("classes-differ") == ["odd_test"]

    def test_the_doctor_compares_with_the_configuration(self, cfg):
        config = cfg(["boat", "buoy"], ["boat", "buoy"])
        config.MODEL.ROI_HEADS.NUM_CLASSES = 3
        report = examine_datasets(["odd_train"], cfg=config)
        assert report.found("num-classes") == ["2 classes"] and report.count("error") == 1
