"""SemSegEvaluator: the same figures however the images are read, batched and distributed."""

import json
import math
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import DatasetCatalog, MetadataCatalog
from segsuite.evaluation import (
    ABSENT_CLASS_RULES,
    SemSegEvaluator,
    boundary_confusion_matrix,
    boundary_iou,
    build_evaluator,
    inference_on_dataset,
    sem_seg_metrics,
)
from segsuite.structures import SemSegLogits
from segsuite.utils import comm
from tests.processes import run_group

from .helpers import Oracle, make_record

NAMES = ["sky", "road", "traffic-light"]
RECORDS = [make_record(i, len(NAMES), size=(20 + i, 33 - 2 * i)) for i in range(5)]


def make_evaluator(**kwargs):
    return SemSegEvaluator(dataset_name="streets", class_names=NAMES, **kwargs)


def run(records, evaluator, batch=1):
    batches = [records[i : i + batch] for i in range(0, len(records), batch)]
    return inference_on_dataset(Oracle(), batches, evaluator)["sem_seg"]


def reference_matrix(records):
    """Upsample, argmax, count."""
    size = len(NAMES) + 1
    matrix = torch.zeros(size, size, dtype=torch.int64)
    for r in records:
        full = SemSegLogits(r["logits"], r["source_size"], (r["height"], r["width"])).full()
        target, prediction = r["sem_seg_gt"].long(), full.argmax(0)
        counted = target != 255
        for t, p in zip(target[counted], prediction[counted], strict=True):
            matrix[t, p] += 1
    return matrix


def test_figures(tmp_path):
    results = run(RECORDS, make_evaluator(output_dir=tmp_path), batch=2)
    matrix = reference_matrix(RECORDS)
    expected = sem_seg_metrics(matrix)
    assert results["mIoU"] == pytest.approx(100 * expected.mean_iou.item())
    assert results["fwIoU"] == pytest.approx(100 * expected.frequency_weighted_iou.item())
    assert results["mACC"] == pytest.approx(100 * expected.mean_accuracy.item())
    assert results["pACC"] == pytest.approx(100 * expected.pixel_accuracy.item())
    for i, name in enumerate(NAMES):
        assert results[f"IoU-{name}"] == pytest.approx(100 * expected.iou[i].item())
        assert results[f"ACC-{name}"] == pytest.approx(100 * expected.accuracy[i].item())
    assert results["absent_classes"] == "detectron2"
    assert "mBIoU" not in results

    written = json.loads((tmp_path / "sem_seg_evaluation.json").read_text())
    assert written["classes"] == NAMES and written["results"] == results
    assert written["confusion_matrix"] == matrix.tolist()


@pytest.mark.parametrize("rule", sorted(ABSENT_CLASS_RULES))
def test_rule_is_used_and_told(rule):
    record = make_record(0, 3)
    record["sem_seg_gt"][record["sem_seg_gt"] == 2] = 255
    evaluator = make_evaluator(absent_classes=rule, boundary_dilation_ratio=0.1)
    results = run([record], evaluator)
    assert results["absent_classes"] == rule
    figures = sem_seg_metrics(reference_matrix([record]), absent_classes=rule)
    assert results["mIoU"] == pytest.approx(100 * figures.mean_iou.item())
    left_out = rule == "detectron2"
    for name in ("IoU", "BIoU"):
        assert math.isnan(results[f"{name}-traffic-light"]) is left_out


def test_boundary_iou():
    results = run(RECORDS, make_evaluator(boundary_dilation_ratio=0.05))
    matrix = None
    for r in RECORDS:
        labels = SemSegLogits(r["logits"], r["source_size"], (r["height"], r["width"])).labels()
        matrix = boundary_confusion_matrix(
            labels, r["sem_seg_gt"], 3, dilation_ratio=0.05, out=matrix
        )
    expected = boundary_iou(matrix)
    for name, value in zip(NAMES, expected.tolist(), strict=True):
        assert results[f"BIoU-{name}"] == pytest.approx(100 * value)
    assert results["mBIoU"] == pytest.approx(100 * expected.mean().item())
    assert results["mIoU"] == run(RECORDS, make_evaluator())["mIoU"]


def test_everything_ignored(tmp_path):
    record = make_record(0, 3)
    record["sem_seg_gt"].fill_(255)
    results = run([record], make_evaluator(output_dir=tmp_path))
    assert math.isnan(results["mIoU"]) and math.isnan(results["pACC"])
    assert json.loads((tmp_path / "sem_seg_evaluation.json").read_text())["results"]["mIoU"] is None


def test_full_size_logits_are_never_made(monkeypatch):
    def forbidden(self):
        raise AssertionError("made at full size")

    monkeypatch.setattr(SemSegLogits, "full", forbidden)
    monkeypatch.setattr(SemSegLogits, "labels", forbidden)
    run(RECORDS, make_evaluator())


def test_state_does_not_grow():
    evaluator = make_evaluator(boundary_dilation_ratio=0.02)
    sizes = []
    for repeat in range(4):
        inputs = [RECORDS[repeat]]
        evaluator.process(inputs, Oracle()(inputs))
        sizes.append(len(pickle.dumps(evaluator.__dict__)))
    assert len(set(sizes)) == 1


def test_evaluate_twice_and_reset():
    evaluator = make_evaluator()
    first = run(RECORDS, evaluator)
    assert evaluator.evaluate()["sem_seg"] == first
    assert run(RECORDS, evaluator) == first


def evaluate_shares():
    results = []
    for share in ((0, 3, 5), (0, 1, 1)):  # 3 + 2 images, and 1 + none
        records = RECORDS[share[comm.get_rank()] : share[comm.get_rank() + 1]]
        results.append(run(records, make_evaluator(boundary_dilation_ratio=0.05)))
    return results


def test_two_processes_give_the_figures_of_one():
    expected = [
        run(records, make_evaluator(boundary_dilation_ratio=0.05))
        for records in (RECORDS, RECORDS[:1])
    ]
    assert run_group(evaluate_shares) == [expected, expected]


def test_predictions_are_written(tmp_path):
    colors = [(10, 20, 30), (40, 50, 60), (70, 80, 90)]
    evaluator = make_evaluator(output_dir=tmp_path, save_predictions=True, colors=colors)
    record = make_record(0, 3) | {"image_id": "left/0001"}
    run([record], evaluator)
    with Image.open(tmp_path / "predictions" / "left" / "0001.png") as image:
        assert image.mode == "P" and image.getpalette()[:9] == list(range(10, 100, 10))
        labels = np.asarray(image)
    assert np.array_equal(labels, Oracle()([record])[0]["sem_seg"].labels().numpy())


def test_predictions_of_many_classes_are_written(tmp_path):
    evaluator = SemSegEvaluator(
        dataset_name="many",
        class_names=[str(i) for i in range(300)],
        ignore_index=65535,
        output_dir=tmp_path,
        save_predictions=True,
    )
    record = make_record(0, 300) | {"sem_seg_gt": torch.full((24, 31), 299, dtype=torch.int32)}
    run([record], evaluator)
    with Image.open(tmp_path / "predictions" / "0.png") as image:
        labels = np.asarray(image)
    assert labels.max() > 255
    assert np.array_equal(labels, Oracle()([record])[0]["sem_seg"].labels().numpy())


def test_ground_truth_is_read_from_the_file(tmp_path):
    """Stored values go through label_map, as in training."""
    record = make_record(0, 3)
    stored = record["sem_seg_gt"].numpy().copy()
    stored[stored == 255] = 3
    path = tmp_path / "0.png"
    Image.fromarray(stored).save(path)
    from_file = {k: v for k, v in record.items() if k != "sem_seg_gt"}
    from_file["sem_seg_file_name"] = str(path)
    evaluator = make_evaluator(label_map={0: 0, 1: 1, 2: 2, 3: 255})
    assert run([from_file], evaluator) == run([record], make_evaluator())


class TestBadInput:
    def test_no_ground_truth(self):
        record = {k: v for k, v in RECORDS[0].items() if not k.startswith("sem_seg")}
        with pytest.raises(ValueError, match=r"0\.jpg has no label map.*'streets'"):
            run([record], make_evaluator())

    def test_size_mismatch_names_both_files(self):
        record = make_record(0, 3) | {"sem_seg_gt": torch.zeros(24, 30, dtype=torch.uint8)}
        with pytest.raises(ValueError, match=r"0\.jpg is 24 x 31 .*label map 0\.png is 24 x 30"):
            run([record], make_evaluator())

    def test_label_outside_the_classes(self):
        record = make_record(0, 3)
        record["sem_seg_gt"][:2, :4] = 7
        evaluator = make_evaluator()
        with pytest.raises(
            ValueError, match=r"0\.png holds 7 \(8 pixels\).*classes 0 to 2 and 255"
        ):
            run([record], evaluator)
        # Where images are not looked at one by one, the total says it.
        with pytest.raises(ValueError, match=r"8 pixels of data set 'streets'.*check_semantic"):
            evaluator.evaluate()

    def test_model_of_another_class_count(self):
        with pytest.raises(ValueError, match=r"predicts 4 classes.*'streets' has 3.*NUM_CLASSES"):
            run([make_record(0, 4)], make_evaluator())

    def test_nan_logits_count_as_wrong_and_are_told(self, caplog):
        record = make_record(0, 3)
        record["logits"].fill_(math.nan)
        results = run([record], make_evaluator())
        assert results["mIoU"] == results["pACC"] == 0
        assert "NaN logits" in caplog.text


@pytest.fixture
def streets():
    DatasetCatalog.register("streets", list)
    yield MetadataCatalog.get("streets")
    DatasetCatalog.remove("streets")


class TestBuild:
    def test_from_config(self, streets, tmp_path):
        streets.set(stuff_classes=NAMES, ignore_label=254, label_map=None, evaluator_type="sem_seg")
        cfg = get_cfg()
        cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 3
        cfg.TEST.SEM_SEG.ABSENT_CLASSES = "zero"
        cfg.TEST.SEM_SEG.BOUNDARY_IOU = True
        evaluator = build_evaluator(cfg, "streets", tmp_path)
        record = make_record(0, 3)
        record["sem_seg_gt"][record["sem_seg_gt"] == 255] = 254
        results = run([record], evaluator)
        assert results["absent_classes"] == "zero" and "mBIoU" in results
        assert (tmp_path / "sem_seg_evaluation.json").exists()

        cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 4
        with pytest.raises(ValueError, match=r"'streets' has 3 classes.*NUM_CLASSES is 4"):
            build_evaluator(cfg, "streets")

    def test_unknown_data_set(self, streets):
        with pytest.raises(KeyError, match="Did you mean 'streets'"):
            build_evaluator(get_cfg(), "streats")

    def test_no_evaluator_type(self, streets):
        with pytest.raises(ValueError, match=r"'streets' has no evaluator_type.*sem_seg"):
            build_evaluator(get_cfg(), "streets")

    def test_unknown_evaluator_type(self, streets):
        streets.set(evaluator_type="sem-seg")
        with pytest.raises(KeyError, match="Did you mean 'sem_seg'"):
            build_evaluator(get_cfg(), "streets")
