"""Evaluators of registered data sets, named as Detectron2's users name them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from segsuite.config import get_cfg
from segsuite.data import DatasetCatalog, MetadataCatalog, records_to_coco, register_coco_instances
from segsuite.data.datasets.coco import load_coco_json
from segsuite.data.instances import annotations_to_instances
from segsuite.data.transforms import Transform
from segsuite.evaluation import (
    COCOEvaluator,
    DatasetEvaluator,
    PanopticEvaluator,
    SemSegEvaluator,
    inference_on_dataset,
)
from segsuite.structures import BoxMode
from tests.processes import run_group

from .coco_data import detections_near, made_up
from .test_coco import Oracle, check, make_records, same

NAME = "test_registered"
CONTENT = made_up(0)
DETECTIONS = detections_near(CONTENT, 0)


def with_masks_off():
    cfg = get_cfg()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 4
    return cfg


def with_masks_on():
    cfg = with_masks_off()
    cfg.MODEL.MASK_ON = True
    return cfg


@pytest.fixture(autouse=True)
def forget():
    yield
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


@pytest.fixture
def file(tmp_path):
    """The data set in a file."""
    (tmp_path / "instances.json").write_text(json.dumps(CONTENT))
    register_coco_instances(NAME, {}, tmp_path / "instances.json", tmp_path)


@pytest.fixture
def function(tmp_path):
    """The same as records of a function, their boxes by corners."""
    (tmp_path / "instances.json").write_text(json.dumps(CONTENT))
    records = load_coco_json(tmp_path / "instances.json", tmp_path)
    for record in records:
        record["annotations"] = [dict(a) for a in record["annotations"]]
        for a in record["annotations"]:
            a["bbox"] = BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS)
            a["bbox_mode"] = 0
    DatasetCatalog.register(NAME, lambda: records)
    MetadataCatalog.get(NAME).set(thing_classes=[c["name"] for c in CONTENT["categories"]])
    return records


def run(evaluator, records=None):
    records = make_records(CONTENT, DETECTIONS) if records is None else records
    return inference_on_dataset(Oracle(), [[r] for r in records], evaluator)


class TestCOCO:
    @pytest.mark.parametrize(
        "call, tasks",
        [
            (lambda out: COCOEvaluator(NAME), ["bbox", "segm"]),
            (lambda out: COCOEvaluator(NAME, output_dir=out), ["bbox", "segm"]),
            (lambda out: COCOEvaluator(NAME, ("bbox", "segm"), False, out), ["bbox", "segm"]),
            (lambda out: COCOEvaluator(NAME, ("bbox",), False, output_dir=out), ["bbox"]),
            (lambda out: COCOEvaluator(NAME, tasks=["segm"], distributed=True), ["segm"]),
            (lambda out: COCOEvaluator(NAME, with_masks_off(), False, output_dir=out), ["bbox"]),
            (lambda out: COCOEvaluator(NAME, with_masks_on(), False, out), ["bbox", "segm"]),
            (lambda out: COCOEvaluator(with_masks_on(), NAME, out), ["bbox", "segm"]),
            (lambda out: COCOEvaluator(with_masks_off(), NAME), ["bbox"]),
        ],
    )
    def test_calls(self, file, tmp_path, call, tasks):
        results = run(call(tmp_path / "out"))
        assert list(results) == tasks
        expected = run(COCOEvaluator("any", tasks, json_file=tmp_path / "instances.json"))
        same(results, expected)
        check(results, CONTENT, DETECTIONS, tasks)

    def test_files(self, file, tmp_path):
        run(COCOEvaluator(NAME, ("bbox",), False, tmp_path / "out"))
        assert (tmp_path / "out" / "coco_instances_results.json").exists()

    def test_tasks_are_what_is_predicted(self, file):
        records = make_records(CONTENT, DETECTIONS)
        for record in records:
            record["instances"].remove("pred_masks")
        assert list(run(COCOEvaluator(NAME), records)) == ["bbox"]
        nothing = make_records(CONTENT, [])
        assert list(run(COCOEvaluator(NAME), nothing)) == ["bbox", "segm"]

    def test_masks_of_some_images(self, file):
        records = make_records(CONTENT, DETECTIONS)
        records[1]["instances"].remove("pred_masks")
        with pytest.raises(ValueError, match=r"of \d+ detections have a 'segmentation'"):
            run(COCOEvaluator(NAME), records)

    @pytest.mark.parametrize("tasks", ["bbox", ("keypoints",), ()])
    def test_other_tasks(self, file, tasks):
        with pytest.raises(ValueError, match=r"tasks is .*; expected \('bbox',\)"):
            COCOEvaluator(NAME, tasks)

    def test_some_images(self, file):
        ids = [image["id"] for image in CONTENT["images"]][::2]
        MetadataCatalog.get(NAME).set(image_ids=ids)
        records = [r for r in make_records(CONTENT, DETECTIONS) if r["image_id"] in ids]
        results = run(COCOEvaluator(NAME), records)
        some = {
            **CONTENT,
            "images": [i for i in CONTENT["images"] if i["id"] in ids],
            "annotations": [a for a in CONTENT["annotations"] if a["image_id"] in ids],
        }
        check(results, some, [d for d in DETECTIONS if d["image_id"] in ids])

    def test_no_data_set(self):
        with pytest.raises(KeyError, match="'test_registered' is not in the DatasetCatalog"):
            COCOEvaluator(NAME, output_dir="out")


def one_of_two(folder):
    (folder / "instances.json").write_text(json.dumps(CONTENT))
    try:
        COCOEvaluator("any", None, False, json_file=folder / "instances.json")
    except ValueError as e:
        return str(e)


def test_figures_of_one_process_of_several_are_refused(tmp_path):
    for message in run_group(one_of_two, tmp_path):
        assert "distributed is False, but there are 2 processes" in message


class TestRecords:
    """Without a file, the annotations of the records are the ground truth."""

    @pytest.mark.parametrize("engine", ["pycocotools", "faster_coco_eval", "hotcoco"])
    @pytest.mark.parametrize("ids", [int, str])
    def test_same_figures_as_of_the_file(self, function, tmp_path, engine, ids):
        pytest.importorskip(engine)
        expected = run(COCOEvaluator("any", json_file=tmp_path / "instances.json", engine=engine))
        predicted = make_records(CONTENT, DETECTIONS)
        for record in (*function, *predicted):
            record["image_id"] = ids(record["image_id"])
        results = run(COCOEvaluator(NAME, output_dir=tmp_path, engine=engine), predicted)
        same(results, expected)
        written = json.loads((tmp_path / "coco_instances_results.json").read_text())
        assert {d["image_id"] for d in written} <= {r["image_id"] for r in function}

    def test_in_cocos_format(self, function):
        content = records_to_coco(function, MetadataCatalog.get(NAME))
        again = json.loads(json.dumps(content))
        assert again == content
        assert [c["name"] for c in content["categories"]] == [
            c["name"] for c in CONTENT["categories"]
        ]
        for ours, theirs in zip(content["annotations"], CONTENT["annotations"], strict=True):
            assert ours["bbox"] == pytest.approx(theirs["bbox"])
            assert ours["iscrowd"] == theirs["iscrowd"]
            assert ours["area"] == pytest.approx(theirs["area"])
            assert ours["image_id"] == theirs["image_id"]

    def test_areas_are_those_of_masks_or_of_boxes(self, tmp_path):
        triangle = [0.0, 0, 40, 0, 0, 40]
        annotations = [
            {"category_id": 0, "bbox": [0, 0, 40, 40], "segmentation": [triangle]},
            {"category_id": 0, "bbox": [0, 0, 40, 40]},
            {"category_id": 0, "bbox": [0, 0, 40, 40], "area": 7},
            {"category_id": 0, "bbox": [0, 0, 40, 40], "segmentation": []},
        ]
        Image.new("RGB", (60, 50)).save(tmp_path / "a.png")
        record = {"file_name": tmp_path / "a.png", "image_id": "a", "annotations": annotations}
        metadata = MetadataCatalog.get(NAME).set(thing_classes=["boat"])
        content = records_to_coco([record], metadata)
        areas = [a["area"] for a in content["annotations"]]
        assert 740 < areas[0] < 860 and areas[1:] == [1600, 7, 1600]
        (image,) = content["images"]
        assert (image["height"], image["width"]) == (50, 60)

    @pytest.mark.parametrize("form", ["text", "bytes", "runs"])
    def test_forms_of_run_lengths(self, tmp_path, form):
        mask = np.zeros((5, 6), np.uint8, order="F")
        mask[1:3, 2:4] = 1
        rle = coco_mask.encode(mask)
        counts = {"bytes": rle["counts"], "text": rle["counts"].decode(), "runs": [11, 2, 3, 2, 12]}
        annotation = {"category_id": 0, "bbox": [2, 1, 2, 2]}
        annotation["segmentation"] = {"size": [5, 6], "counts": counts[form]}
        record = {"file_name": "a.png", "image_id": 1, "height": 5, "width": 6}
        record["annotations"] = [annotation]
        metadata = MetadataCatalog.get(NAME).set(thing_classes=["boat"])
        (written,) = json.loads(json.dumps(records_to_coco([record], metadata)))["annotations"]
        assert np.array_equal(coco_mask.decode(written["segmentation"]), mask)
        assert written["area"] == 4
        instances = annotations_to_instances(
            [annotation], (5, 6), Transform(), mask_format="polygon"
        )
        assert np.array_equal(instances.gt_masks.tensor[0].numpy(), mask)

    def test_category_ids(self, function):
        metadata = MetadataCatalog.get(NAME)
        metadata.set(thing_dataset_id_to_contiguous_id={3: 0, 7: 1, 20: 2, 21: 3})
        content = records_to_coco(function, metadata)
        found = [a["category_id"] for a in content["annotations"]]
        assert found == [a["category_id"] for a in CONTENT["annotations"]]
        check(run(COCOEvaluator(NAME)), CONTENT, DETECTIONS)

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"bbox_mode": 4}, r"1\.jpg: annotation 100: bbox_mode 4 is XYWHA_ABS"),
            ({"bbox": [1, 2, 3]}, r"1\.jpg: annotation 100: bbox is \[1, 2, 3\]"),
            ({"category_id": 9}, r"1\.jpg: annotation 100 has the class 9; data set 'test_reg"),
            ({"segmentation": {"size": [9, 9], "counts": [81]}}, r"1\.jpg: .* 9 x 9"),
        ],
    )
    def test_what_cannot_be_used_is_named(self, function, change, message):
        function[1]["annotations"][0] |= change
        with pytest.raises(ValueError, match=message):
            COCOEvaluator(NAME)

    def test_an_image_id_twice(self, function):
        function[2]["image_id"] = function[1]["image_id"]
        with pytest.raises(ValueError, match=r"1\.jpg and .*2\.jpg have one image_id, 16;"):
            COCOEvaluator(NAME)


class SemSegOracle(torch.nn.Module):
    def forward(self, inputs):
        return [{"sem_seg": record["prediction"]} for record in inputs]


class TestSemSeg:
    @pytest.fixture
    def records(self, tmp_path):
        """Label maps that store 0 for what is ignored, and logits."""
        generator = torch.Generator().manual_seed(0)
        records = []
        for i in range(3):
            stored = torch.randint(0, 4, (20, 30 + i), generator=generator).to(torch.uint8)
            path = tmp_path / f"{i}.png"
            Image.fromarray(stored.numpy()).save(path)
            logits = torch.randn(3, 20, 30 + i, generator=generator).half().float()
            record = {"image_id": i, "file_name": f"{i}.jpg", "sem_seg_file_name": str(path)}
            records.append({**record, "stored": stored, "prediction": logits})
        MetadataCatalog.get(NAME).set(
            stuff_classes=["sky", "road", "car"],
            ignore_label=255,
            label_map={0: 255, 1: 0, 2: 1, 3: 2},
        )
        return records

    def evaluate(self, records, evaluator=None, **changes):
        batches = [[{**r, **{k: f(r["prediction"]) for k, f in changes.items()}}] for r in records]
        return inference_on_dataset(SemSegOracle(), batches, evaluator or SemSegEvaluator(NAME))

    def expected(self, records):
        """IoU of each class, in percent."""
        stored = torch.cat([r["stored"].flatten() for r in records]).long()
        found = torch.cat([r["prediction"].argmax(0).flatten() for r in records])[stored > 0]
        truth = stored[stored > 0] - 1
        pairs = [((truth == k) & (found == k), (truth == k) | (found == k)) for k in range(3)]
        return [100 * float(a.sum() / b.sum()) for a, b in pairs]

    @pytest.mark.parametrize(
        "call",
        [
            lambda out: SemSegEvaluator(NAME),
            lambda out: SemSegEvaluator(NAME, True, out),
            lambda out: SemSegEvaluator(NAME, distributed=False, output_dir=out),
        ],
    )
    def test_calls(self, records, tmp_path, call):
        figures = self.evaluate(records, call(tmp_path / "out"))["sem_seg"]
        ious = [figures[f"IoU-{name}"] for name in ("sky", "road", "car")]
        assert ious == pytest.approx(self.expected(records))

    @pytest.mark.parametrize(
        "form",
        [
            lambda x: x.double(),
            lambda x: x.half(),
            lambda x: x.argmax(0),
            lambda x: x.argmax(0).to(torch.uint8),
            lambda x: x.permute(1, 2, 0).contiguous().permute(2, 0, 1),
        ],
    )
    def test_forms_of_predictions(self, records, tmp_path, form):
        expected = self.evaluate(records, SemSegEvaluator(NAME, boundary_dilation_ratio=0.1))
        evaluator = SemSegEvaluator(
            NAME,
            output_dir=tmp_path / "out",
            save_predictions=True,
            boundary_dilation_ratio=0.1,
        )
        assert self.evaluate(records, evaluator, prediction=form) == expected
        written = np.asarray(Image.open(tmp_path / "out" / "predictions" / "1.png"))
        assert np.array_equal(written, records[1]["prediction"].argmax(0).numpy())

    def test_a_label_map_without_a_confidence_has_no_calibration(self, records, tmp_path):
        evaluator = SemSegEvaluator(NAME, output_dir=tmp_path / "out")
        self.evaluate(records, evaluator, prediction=lambda x: x.argmax(0))
        written = json.loads((tmp_path / "out" / "sem_seg_evaluation.json").read_text())
        assert written["calibration"]["ECE"] is None

    def test_predicted_labels_that_are_no_class_are_wrong(self, records, caplog):
        results = self.evaluate(records, prediction=lambda x: torch.full_like(x[0], 7).long())
        assert results["sem_seg"]["pACC"] == 0
        assert "are predicted as no class, and count as wrong" in caplog.text

    @pytest.mark.parametrize(
        "form, message",
        [
            (
                lambda x: x[0],
                r"0\.jpg: the prediction is \(20, 30\) torch\.float32; expected SemSegLogits",
            ),
            (lambda x: x.long(), r"is \(3, 20, 30\) torch\.int64; expected"),
            (lambda x: x[None], r"is \(1, 3, 20, 30\)"),
            (lambda x: x[:2], "predicts 2 classes, data set 'test_registered' has 3"),
            (lambda x: x[:, 1:], r"0\.jpg is 19 x 30 .* 20 x 30"),
            (lambda x: x[:, 1:].argmax(0), r"0\.jpg is 19 x 30 .* 20 x 30"),
        ],
    )
    def test_other_predictions(self, records, form, message):
        with pytest.raises(ValueError, match=message):
            self.evaluate(records, prediction=form)

    def test_no_data_set(self):
        with pytest.raises(AttributeError, match=f"'{NAME}': .*stuff_classes"):
            SemSegEvaluator(NAME, output_dir="out")


def test_panoptic_of_a_registered_data_set(tmp_path):
    evaluator = PanopticEvaluator("shapes_panoptic_val", output_dir=tmp_path)
    assert isinstance(evaluator, DatasetEvaluator)
    with pytest.raises(AttributeError, match=f"'{NAME}': .*panoptic_json"):
        PanopticEvaluator(NAME, tmp_path)


class Counter(DatasetEvaluator):
    def __init__(self, results):
        self.results = results

    def reset(self):
        self.images = 0

    def process(self, inputs, outputs):
        self.images += len(inputs)

    def evaluate(self):
        return self.results


def test_a_list_of_evaluators():
    counters = [Counter({"a": {"n": 1}}), Counter(None), Counter({"b": {"n": 2}})]
    results = run(counters)
    assert results == {"a": {"n": 1}, "b": {"n": 2}}
    assert [counter.images for counter in counters] == [len(CONTENT["images"])] * 3
    assert run([]) == {}
