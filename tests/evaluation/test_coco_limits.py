"""More than 100 detections or objects of an image."""

import json
import math

import pytest

from segsuite.evaluation import COCOEvaluator, coco_figures

from .coco_data import detections_near, made_up, make_records, run, write


def crowded(number):
    """One image with many objects of a class, and detections of all."""
    boxes = [[9 * (i % 14), 9 * (i // 14), 8, 8] for i in range(number)]
    content = {**made_up(0, images=1), "annotations": []}
    image_id = content["images"][0]["id"]
    of_image = [
        {"image_id": image_id, "category_id": 7, "bbox": box, "score": 0.5} for box in boxes
    ]
    content["annotations"] = [
        {**d, "id": i, "area": 64, "iscrowd": 0} for i, d in enumerate(of_image, 1)
    ]
    return content, of_image


class TestMoreThanAHundred:
    @pytest.fixture(params=["pycocotools", "hotcoco", "faster_coco_eval"])
    def engine(self, request):
        pytest.importorskip(request.param)
        return request.param

    def test_other_limits_by_name(self, tmp_path, engine, caplog):
        content, detections = crowded(150)
        path = write(tmp_path, content)
        (tmp_path / "results.json").write_text(json.dumps(detections))
        evaluator = COCOEvaluator(
            *("made", ["bbox"]),
            json_file=path,
            output_dir=tmp_path,
            engine=engine,
            max_detections=(300, 50),
        )
        results = evaluator.evaluate_file(tmp_path / "results.json")["bbox"]
        assert results["AR100"] == pytest.approx(100 * 100 / 150)
        assert results["AP"] == pytest.approx(66.34, abs=0.01)
        for name in ("AP@300", "AP50@300", "APs@300", "AR@300", "ARs@300", "AP@300-c7"):
            assert results[name] == pytest.approx(100)
        assert results["AR@50"] == pytest.approx(100 * 50 / 150)
        assert results["AP-c7"] == results["AP"] and math.isnan(results["AP@300-c3"])
        written = json.loads((tmp_path / "coco_evaluation.json").read_text())
        assert written["max_detections"] == [1, 10, 50, 100, 300]
        assert written["results"]["bbox"]["AP@300"] == results["AP@300"]
        assert not caplog.records  # 300 are enough for all of them

    def test_hundred_figures_do_not_change(self, engine):
        content = made_up(0, images=2, objects=4, categories=(1, 2))
        detections = detections_near(content, 1, per_object=60)
        plain, more = (
            coco_figures(content, detections, "bbox", engine=engine, max_detections=limits)
            for limits in ((), (3, 200))
        )
        same = {k: more.summary[k] for k in plain.summary}
        assert plain.summary == pytest.approx(same, rel=0, abs=0, nan_ok=True)
        assert plain.ap_by_category[1] == more.ap_by_category[1] > 0
        assert plain.pr_curves == more.pr_curves

    def test_truth_is_warned_of(self, tmp_path, caplog):
        content, detections = crowded(150)
        path = write(tmp_path, content)
        (tmp_path / "results.json").write_text(json.dumps(detections))
        COCOEvaluator("made", json_file=path).evaluate_file(tmp_path / "results.json")
        (record,) = caplog.records
        assert "image 5 has 150 objects of category 'c7'" in record.message
        assert "best 100 detections count" in record.message
        assert "TEST.COCO_MAX_DETECTIONS" in record.message

    def test_no_warning_of_a_hundred_or_of_crowds(self, tmp_path, caplog):
        content, detections = crowded(150)
        for annotation in content["annotations"][100:]:
            annotation["iscrowd"] = 1
        path = write(tmp_path, content)
        (tmp_path / "results.json").write_text(json.dumps(detections))
        COCOEvaluator("made", json_file=path).evaluate_file(tmp_path / "results.json")
        assert not caplog.records

    @pytest.mark.parametrize(
        "detections_per_image, message",
        [
            (300, "DETECTIONS_PER_IMAGE is 300, but of an image and category the best 100"),
            (40, "image 5 has 90 objects, but TEST.DETECTIONS_PER_IMAGE is 40"),
            (100, None),
        ],
    )
    def test_detections_per_image(self, tmp_path, caplog, detections_per_image, message):
        content, _ = crowded(90)
        for i, annotation in enumerate(content["annotations"]):
            annotation["category_id"] = (3, 7)[i % 2]
        records = make_records(made_up(0, images=1), [])
        path = write(tmp_path, content)
        evaluator = COCOEvaluator(
            *("made", ["bbox"]), json_file=path, detections_per_image=detections_per_image
        )
        run(records, evaluator)
        warnings = [r.message for r in caplog.records if "DETECTIONS" in r.message]
        assert len(warnings) == (message is not None)
        assert message is None or message in warnings[0]

    @pytest.mark.parametrize("limits", [(0,), (-5,), (1.5,), ("300",), (True,), 0])
    def test_limits_that_are_none(self, tmp_path, limits):
        path = write(tmp_path, made_up(0))
        with pytest.raises(ValueError, match=r"TEST\.COCO_MAX_DETECTIONS is .*positive whole"):
            COCOEvaluator("made", json_file=path, max_detections=limits)
