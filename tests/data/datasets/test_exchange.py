import os
from pathlib import Path

import numpy as np
import pytest
import torch

from segsuite.data import MetadataCatalog, get_records
from segsuite.data.boxes import corner_boxes
from segsuite.data.cache import folder
from segsuite.data.checks import write_fixed_copy
from segsuite.data.datasets import exchange
from segsuite.data.prepare.write import write_coco, write_yolo
from segsuite.evaluation import COCOEvaluator
from segsuite.structures import Boxes, Instances, SegmentationMasks, decode_masks, to_rle

from .exports import CLASSES, SCENE, SIZE, WRITERS


def found(name):
    """Class and mask of every object, by the end of the image's name."""
    classes = None
    objects = {}
    for record in get_records([name]):
        classes = MetadataCatalog.get(name).thing_classes
        assert (record["height"], record["width"]) == SIZE
        objects[record["file_name"]] = [
            (
                classes[a["category_id"]],
                decode_masks([to_rle(a["segmentation"], *SIZE)], *SIZE)[0].numpy(),
            )
            for a in record["annotations"]
        ]
    return classes, objects


def assert_scene(name):
    classes, objects = found(name)
    assert classes == CLASSES
    assert len(objects) == len(SCENE)
    for number, (image, drawn) in enumerate(SCENE.items()):
        ends = (image, f"{number:08d}.jpg")
        ((file, of_image),) = ((f, o) for f, o in objects.items() if f.endswith(ends))
        assert sorted(label for label, _ in of_image) == sorted(d.label for d in drawn), file
        for one in drawn:
            assert any(
                label == one.label and np.array_equal(mask, one.mask) for label, mask in of_image
            ), (file, one)


@pytest.mark.parametrize("format", WRITERS)
class TestEveryFormat:
    def test_masks_holes_and_parts_are_kept(self, format, tmp_path, register):
        name = register(f"exchange_{format}", WRITERS[format](tmp_path))
        assert_scene(name)
        first = get_records([name])
        assert [r["image_id"] for r in first] == [1, 2, 3]
        assert get_records([name]) is not first

    def test_files_are_read_once(self, format, tmp_path, register, monkeypatch):
        monkeypatch.setenv("SEGSUITE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("segsuite.data.cache.folder._SETTLED_NS", -1_000_000_000)
        name = register(f"exchange_{format}", WRITERS[format](tmp_path / "data"))
        assert_scene(name)
        folder._Kept._columns.clear()  # as in another process

        def parse(*_):
            raise AssertionError("read again")

        with monkeypatch.context() as patch:
            patch.setattr(exchange, "parse_instances", parse)
            assert_scene(name)
        # The size of an image is its own.
        image = Path(get_records(name)[0]["file_name"])
        os.utime(image, (1, 1))
        assert_scene(name)

    def test_perfect_predictions_are_found_perfect(self, format, tmp_path, register):
        name = register(f"exchange_{format}", WRITERS[format](tmp_path))
        evaluator = COCOEvaluator(name, ("bbox", "segm"))
        for record in get_records([name]):
            annotations = record["annotations"]
            masks = SegmentationMasks([a["segmentation"] for a in annotations], SIZE).tensor
            instances = Instances(
                SIZE,
                pred_boxes=Boxes(corner_boxes(annotations, SIZE)),
                scores=torch.ones(len(annotations)),
                pred_classes=torch.tensor([a["category_id"] for a in annotations]).long(),
                pred_masks=masks,
            )
            evaluator.process([record], [{"instances": instances}])
        results = evaluator.evaluate()
        assert results["segm"]["AP"] == pytest.approx(100)
        assert results["bbox"]["AP-dog"] == pytest.approx(100)

    def test_written_as_coco_and_yolo_they_are_the_same(self, format, tmp_path, register):
        name = register(f"exchange_{format}", WRITERS[format](tmp_path / "theirs"))
        file, images = write_coco(name, tmp_path / "coco", "copy")
        assert images == tmp_path / "coco" / "images"
        entry = {"FORMAT": "coco_instances", "ANNOTATIONS": str(file), "IMAGES": str(images)}
        assert_scene(register("exchange_coco", entry))
        data = write_yolo({"train": name}, tmp_path / "yolo", "link")
        entry = {"FORMAT": "yolo", "DATA": str(data), "SPLIT": "train"}
        assert_scene(register("exchange_yolo", entry))

    def test_a_fixed_copy_is_a_file_of_coco(self, format, tmp_path, register):
        name = register(f"exchange_{format}", WRITERS[format](tmp_path / "theirs"))
        changes = write_fixed_copy(name, tmp_path / "fixed")
        images = changes[0].partition("images start from ")[2]
        entry = {"FORMAT": "coco_instances", "IMAGES": images}
        file = str(tmp_path / "fixed" / "annotations.json")
        assert_scene(register("exchange_coco", {**entry, "ANNOTATIONS": file}))
