"""COCOEvaluator and COCO's results files."""

import copy
import json
import math
import re
import tracemalloc

import pytest
import torch

from segsuite.errors import DataError
from segsuite.evaluation import COCOEvaluator
from segsuite.evaluation.coco_files import read_results
from segsuite.structures import Instances, ROIMasks
from segsuite.utils import comm
from tests.helpers import requires_coco_tiny
from tests.processes import run_group

from .coco_data import (
    Oracle,
    as_coco,
    coco_tiny,
    detections_near,
    made_up,
    make_records,
    reference,
    run,
    write,
)


@pytest.fixture
def made(tmp_path):
    """A file, its content and detections."""
    content = made_up(0)
    return write(tmp_path, content), content, detections_near(content, 0)


def check(results, content, detections, tasks=("bbox", "segm")):
    """Results are the figures of pycocotools, in percent."""
    assert list(results) == list(tasks)
    for task in tasks:
        summary, by_category = reference(content, detections, task)
        names = {c["id"]: c["name"] for c in content["categories"]}
        expected = summary | {f"AP-{names[c]}": ap for c, ap in by_category.items()}
        expected = {k: 100 * v for k, v in expected.items()}
        assert results[task] == pytest.approx(expected, rel=0, abs=1e-7, nan_ok=True)


def same(results, expected):
    assert list(results) == list(expected)
    for task in results:
        assert results[task] == pytest.approx(expected[task], rel=0, abs=1e-9, nan_ok=True)


def test_figures_and_files(made, tmp_path):
    path, content, detections = made
    out = tmp_path / "out"
    evaluator = COCOEvaluator(dataset_name="made", json_file=path, output_dir=out)
    results = run(make_records(content, detections), evaluator)
    written = json.loads((out / "coco_instances_results.json").read_text())
    check(results, content, written)

    # Others' tools read it, and this one; it holds what was predicted, by image.
    truth = as_coco(content)
    assert len(truth.loadRes(str(out / "coco_instances_results.json")).anns) == len(detections)
    assert [d["image_id"] for d in written] == sorted(d["image_id"] for d in detections)
    expected = sorted(detections, key=lambda d: d["image_id"])
    for got, want in zip(written, expected, strict=True):
        assert got["bbox"] == pytest.approx(want["bbox"], abs=1e-4)
        assert got["score"] == pytest.approx(want["score"])
        assert got["category_id"] == want["category_id"]
        assert got["segmentation"] == want["segmentation"]
    same(evaluator.evaluate_file(out / "coco_instances_results.json"), results)

    figures = json.loads((out / "coco_evaluation.json").read_text())
    assert figures["results"]["segm"]["AP"] == results["segm"]["AP"] > 0
    assert math.isnan(results["segm"]["AP-c21"]) and figures["results"]["segm"]["AP-c21"] is None
    assert sorted(p.name for p in out.iterdir()) == [
        "coco_evaluation.json",
        "coco_instances_results.json",
    ]


@requires_coco_tiny
def test_real_ground_truth(tmp_path):
    content = coco_tiny()
    content["images"] = content["images"][:30]
    ids = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in ids]
    path, detections = write(tmp_path, content), detections_near(content, 0)
    evaluator = COCOEvaluator(dataset_name="tiny", json_file=path, output_dir=tmp_path)
    results = run(make_records(content, detections), evaluator)
    written = json.loads((tmp_path / "coco_instances_results.json").read_text())
    check(results, content, written)


def test_some_images_of_a_file(made, tmp_path):
    path, content, detections = made
    ids = [image["id"] for image in content["images"]][::2]
    images = [image for image in content["images"] if image["id"] in ids]
    annotations = [a for a in content["annotations"] if a["image_id"] in ids]
    some = {**content, "images": images, "annotations": annotations}
    evaluator = COCOEvaluator(dataset_name="made", json_file=path, image_ids=ids)
    of_some = [d for d in detections if d["image_id"] in ids]
    check(run(make_records(some, detections), evaluator), some, of_some)


def test_boxes_alone(made):
    path, content, detections = made
    records = make_records(content, detections)
    for record in records:
        record["instances"].remove("pred_masks")
    evaluator = COCOEvaluator(dataset_name="made", json_file=path, tasks=["bbox"])
    assert list(run(records, evaluator)) == ["bbox"]


def test_masks_in_boxes(made):
    """ROIMasks give what the masks of the image that they stand for give."""
    path, content, detections = made
    records, others = (make_records(content, detections) for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    for record, other in zip(records, others, strict=True):
        instances = record["instances"]
        boxes = instances.pred_boxes.tensor
        probabilities = torch.rand(len(instances), 14, 14, generator=generator)
        instances.pred_masks = ROIMasks(probabilities, boxes, instances.image_size)
        other["instances"].pred_masks = instances.pred_masks.tensor
    results = [
        run(r, COCOEvaluator(dataset_name="made", json_file=path)) for r in (records, others)
    ]
    same(*results)
    assert results[0]["segm"]["AR100"] != results[0]["bbox"]["AR100"]


def test_category_ids(made):
    """Predicted classes are what category_ids says, not the order of the categories."""
    path, content, detections = made
    records = make_records(content, detections)
    for record in records:
        record["instances"].pred_classes = 3 - record["instances"].pred_classes
    ids = {3: 3, 7: 2, 20: 1, 21: 0}
    turned = COCOEvaluator(dataset_name="made", json_file=path, category_ids=ids)
    plain = COCOEvaluator(dataset_name="made", json_file=path)
    expected = run(make_records(content, detections), plain)
    same(run(records, turned), expected)


def test_nothing_predicted(made, caplog):
    path, content, _ = made
    evaluator = COCOEvaluator(dataset_name="made", json_file=path)
    results = run(make_records(content, [])[2:], evaluator)
    assert results["bbox"]["AP"] == results["segm"]["AR100"] == 0
    assert "made: 2 of the 6 images" in caplog.text and "the first is 5" in caplog.text


def test_test_images_without_annotations(made, tmp_path, caplog):
    """Their results are written for others to compare; there are no figures."""
    _, content, detections = made
    del content["annotations"]
    path = write(tmp_path, content)
    evaluator = COCOEvaluator(dataset_name="made", json_file=path, output_dir=tmp_path / "out")
    assert run(make_records(content, detections), evaluator) == {}
    assert "has no annotations" in caplog.text and "no figures; results are in" in caplog.text
    written = tmp_path / "out/coco_instances_results.json"
    assert len(json.loads(written.read_text())) == len(detections)
    assert evaluator.evaluate_file(written) == {}


def test_memory_stays_flat(made):
    path, content, detections = made
    evaluator = COCOEvaluator(dataset_name="made", json_file=path)
    batch = make_records(content, detections)[1:2]
    outputs = Oracle()(batch)
    tracemalloc.start()
    evaluator.process(batch, outputs)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(100):
        evaluator.process(batch, outputs)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000


def evaluate_half(path, folder):
    content = made_up(0)
    records = make_records(content, detections_near(content, 0))
    evaluator = COCOEvaluator(dataset_name="made", json_file=path, output_dir=folder)
    # The second process has the first images.
    return run(records[4:] if comm.is_main_process() else records[:4], evaluator)


def test_two_processes(made, tmp_path):
    path, content, detections = made
    both = run_group(evaluate_half, path, tmp_path / "two")
    evaluator = COCOEvaluator(dataset_name="made", json_file=path, output_dir=tmp_path / "one")
    expected = run(make_records(content, detections), evaluator)
    same(both[0], expected)
    same(both[1], expected)
    name = "coco_instances_results.json"
    assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


class TestBadInput:
    def evaluate(self, made, **changes):
        path, content, detections = made
        record = make_records(content, detections)[1]
        for name, value in changes.items():
            if name == "image_id":
                record["image_id"] = value
            elif name == "size":
                record["instances"] = Instances(value, **record["instances"].get_fields())
            elif value is None:
                record["instances"].remove(name)
            else:
                record["instances"].set(name, value(record["instances"].get(name)))
        run([record], COCOEvaluator("made", ("bbox", "segm"), json_file=path))

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"image_id": 4}, r"1\.jpg: image_id 4 of data set 'made' is not in .*instances\.json"),
            ({"size": (9, 140)}, r"1\.jpg was predicted at 9 x 140 .* but is 130 x 140"),
            (
                {"pred_masks": lambda m: m[:, 1:]},
                r"pred_masks are masks of 129 x 140 .* the image has 130 x 140",
            ),
            ({"pred_masks": None}, r"1\.jpg: masks of data set 'made'.*MODEL\.MASK_ON"),
            ({"pred_classes": lambda c: c + 4}, r"1\.jpg: class \d was .*'made' has 4 classes"),
            ({"scores": lambda s: s / 0}, r"1\.jpg: a score or a box .* is not finite"),
        ],
    )
    def test_predictions(self, made, changes, message):
        with pytest.raises(ValueError, match=message):
            self.evaluate(made, **changes)

    def test_ground_truth_is_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no annotation file .*gone\.json"):
            COCOEvaluator(dataset_name="made", json_file=tmp_path / "gone.json")

    @pytest.mark.parametrize(
        "text, message",
        [("<html>", r"is not a JSON file"), ("[]", r"lacks images, categories")],
    )
    def test_ground_truth_is_another_file(self, tmp_path, text, message):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            COCOEvaluator(dataset_name="made", json_file=tmp_path / "a.json")

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"segmentation": []}, ""),
            ({"segmentation": [[1, 2, 3, 4]]}, "1 polygons of fewer than 3 points"),
            ({"segmentation": {"size": [9, 9], "counts": [81]}}, "1 with an RLE .* 9 x 9"),
        ],
    )
    def test_objects_without_a_usable_mask_count_as_boxes(self, tmp_path, caplog, changes, message):
        content = made_up(0)
        detections = detections_near(content, 0)
        without = copy.deepcopy(content)
        del without["annotations"][0]
        content["annotations"][0] |= changes
        path = write(tmp_path, content)
        evaluator = COCOEvaluator(dataset_name="made", json_file=path, output_dir=tmp_path)
        results = run(make_records(content, detections), evaluator)
        assert bool(caplog.records) == bool(message)
        assert not message or re.search(rf"{message}", caplog.records[0].message)
        assert not message or "(annotation 100)" in caplog.records[0].message
        written = json.loads((tmp_path / "coco_instances_results.json").read_text())
        check({"bbox": results["bbox"]}, content, written, ["bbox"])
        check({"segm": results["segm"]}, without, written, ["segm"])

    def test_an_object_without_a_box_has_that_of_its_mask(self, tmp_path, caplog):
        content = made_up(0)
        detections = detections_near(content, 0)
        path = write(tmp_path, content)
        expected = run(make_records(content, detections), COCOEvaluator("made", json_file=path))
        content["annotations"][0]["bbox"] = None
        write(tmp_path, content)
        same(
            run(make_records(content, detections), COCOEvaluator("made", json_file=path)), expected
        )
        assert "1 without a bbox: that of the mask is taken (annotation 100)" in caplog.text

    def test_another_number_of_classes(self, made):
        with pytest.raises(ValueError, match=r"'made' has 4 classes.*NUM_CLASSES is 80"):
            COCOEvaluator(dataset_name="made", json_file=made[0], num_classes=80)

    def test_categories_of_another_data_set(self, made):
        with pytest.raises(ValueError, match=r"category 4 of data set 'made' is not in"):
            COCOEvaluator(dataset_name="made", json_file=made[0], category_ids={3: 0, 4: 1})


class TestResultsFile:
    def evaluate(self, made, results):
        path = made[0].with_name("results.json")
        path.write_text(results if isinstance(results, str) else json.dumps(results))
        return COCOEvaluator(dataset_name="made", json_file=made[0]).evaluate_file(path)

    def test_figures(self, made):
        _, content, detections = made
        check(self.evaluate(made, detections[::-1]), content, detections[::-1])

    @pytest.mark.parametrize("task, other", [("bbox", "segmentation"), ("segm", "bbox")])
    def test_task_is_what_the_file_has(self, made, task, other):
        _, content, detections = made
        results = [{k: v for k, v in d.items() if k != other} for d in detections]
        check(self.evaluate(made, results), content, results, [task])

    @pytest.mark.parametrize("key", ["image_id", "category_id"])
    def test_a_flag_is_no_id(self, tmp_path, key):
        annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 5, 5], "area": 25}
        content = {"images": [{"id": 1, "height": 9, "width": 9, "file_name": "a.jpg"}]}
        content |= {"categories": [{"id": 1, "name": "a"}], "annotations": [annotation]}
        (tmp_path / "made.json").write_text(json.dumps(content))
        found = {"image_id": 1, "category_id": 1, "bbox": [2, 2, 5, 5], "score": 0.5}
        with pytest.raises(DataError, match=f"detection 0 .*: {key} True is not in"):
            self.evaluate([tmp_path / "made.json"], [found | {key: True}])

    def test_empty(self, made):
        assert self.evaluate(made, [])["segm"]["AP"] == 0

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"image_id": 4}, r"results\.json, detection 1 \(from 0\): image_id 4 is not in"),
            ({"category_id": 0}, r"category_id 0 is not in .* 4 categories go from 3 to 21"),
            ({"score": None}, "score None is not a finite number"),
            ({"bbox": [0, 0, -1, 5]}, r"negative width or height"),
            ({"bbox": [0, 0, 5]}, r"is not \[x, y, width, height\]"),
            ({"segmentation": [[0, 0, 9, 0, 9, 9]]}, "not a compressed RLE"),
            ({"segmentation": {"size": [9, 8], "counts": "x"}}, "mask is 9 x 8 .* 130 x 140"),
        ],
    )
    def test_bad_detection(self, made, changes, message):
        detections = made[2]
        detections[1] |= changes
        with pytest.raises(ValueError, match=message):
            self.evaluate(made, detections)

    @pytest.mark.parametrize("key", ["image_id", "score", "bbox"])
    def test_missing_key(self, made, key):
        detections = made[2]
        del detections[1][key]
        message = "have a 'bbox'; expected all or none" if key == "bbox" else f"'{key}' is missing"
        with pytest.raises(ValueError, match=message):
            self.evaluate(made, detections)

    @pytest.mark.parametrize("text", ["{}", '{"annotations": []}', "<html>"])
    def test_another_file(self, made, text):
        with pytest.raises(ValueError, match=r"results\.json is not a (COCO results|JSON) file"):
            self.evaluate(made, text)

    @pytest.mark.parametrize("kind", [int, str])
    def test_ids_of_more_than_64_bits(self, made, kind):
        """Numbers, and texts that results have as numbers, one next to the other."""
        _, content, detections = made
        ids = {image["id"]: (1 << 64) + n for n, image in enumerate(content["images"])}
        for image in content["images"]:
            image["id"] = kind(ids[image["id"]])
        for annotation in content["annotations"]:
            annotation["image_id"] = kind(ids[annotation["image_id"]])
        expected = COCOEvaluator(dataset_name="made", json_file=made[0])
        path = made[0].with_name("results.json")
        path.write_text(json.dumps(detections))
        expected = expected.evaluate_file(path)
        write(made[0].parent, content)
        results = [{**d, "image_id": ids[d["image_id"]]} for d in detections]
        same(self.evaluate(made, results), expected)

    def test_each_odd_detection_counts_once(self, made):
        """Values that are read as what they must mean change nothing else."""
        _, content, detections = made
        odd = [
            {**d, "score": str(d["score"]), "bbox": list(map(str, d["bbox"]))} for d in detections
        ]
        check(self.evaluate(made, odd), content, detections)

    def test_first_faulty_mask_of_many(self, made):
        detections = made[2] * 40
        for number in (1700, 900, 2500):
            assert number < len(detections)
            rle = detections[number]["segmentation"]
            detections[number] = detections[number] | {
                "segmentation": {**rle, "counts": rle["counts"][:-1]}
            }
        with pytest.raises(DataError, match=r"detection 900 \(from 0\): .*RLE"):
            self.evaluate(made, detections)


def test_results_that_are_nested_too_deeply(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(DataError, match=r"deep\.json is not a JSON file.*nested too deeply"):
        read_results(tmp_path / "deep.json")
