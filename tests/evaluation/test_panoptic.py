"""PanopticEvaluator and COCO's panoptic files."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from segsuite.data.panoptic import read_panoptic, write_panoptic
from segsuite.evaluation import PanopticEvaluator, inference_on_dataset, panoptic_quality
from segsuite.evaluation.panoptic_metrics import PanopticSegment
from segsuite.evaluation.slices import Slices
from segsuite.evaluation.table import results_table
from segsuite.utils import comm
from tests.processes import run_group

from .panoptic_reference import reference_counts

CATEGORIES = [
    {"id": 30, "name": "sky", "isthing": 0},
    {"id": 4, "name": "dog", "isthing": 1},
    {"id": 9, "name": "cat", "isthing": 1},
    {"id": 31, "name": "sea", "isthing": 0},
]
# By class; stuff class 0 is "things".
THINGS, STUFF = {4: 0, 9: 1}, {30: 1, 31: 2}
IDS = {(True, 0): 4, (True, 1): 9, (False, 1): 30, (False, 2): 31}
INDEX = {4: 0, 9: 1, 30: 2, 31: 3}  # by ascending id
NUM_IMAGES = 4


class Oracle(nn.Module):
    def forward(self, inputs):
        return [{"panoptic_seg": record["panoptic_seg"]} for record in inputs]


def blocks(rng, size=(24, 32), num=6):
    """(H, W) int32: rectangles with ids 1 to `num` on 0, and the ids that are left."""
    segments = np.zeros(size, np.int32)
    for i in range(1, num + 1):
        y, x = rng.integers(0, size[0] - 6), rng.integers(0, size[1] - 6)
        segments[y : y + rng.integers(4, 14), x : x + rng.integers(4, 18)] = i
    return segments, [i for i in np.unique(segments).tolist() if i]


def write_data(folder):
    """Panoptic files of a few images; returns the records with predictions near the truth."""
    rng = np.random.default_rng(0)
    (folder / "panoptic").mkdir(parents=True)
    annotations, records = [], []
    for n in range(NUM_IMAGES):
        segments, ids = blocks(rng)
        classes = {i: list(IDS)[rng.integers(4)] for i in ids}
        crowds = {i: int(classes[i][0] and rng.random() < 0.3) for i in ids}
        # Ids as large as COCO's.
        stored = np.where(segments, segments + 1_000_000 * (n + 1), 0)
        write_panoptic(folder / "panoptic" / f"{n}.png", stored)
        infos = [
            {"id": i + 1_000_000 * (n + 1), "category_id": IDS[classes[i]], "iscrowd": crowds[i]}
            for i in ids
        ]
        facts = {"image_id": 10 - n, "file_name": f"{n}.png"}
        annotations.append({**facts, "segments_info": infos})
        predicted = np.roll(segments, (0, rng.integers(3)), (0, 1))
        info = [
            {"id": i, "isthing": classes[i][0], "category_id": classes[i][1]}
            for i in np.unique(predicted).tolist()
            if i
        ]
        records.append(
            {
                "image_id": 10 - n,
                "file_name": f"{n}.jpg",
                "panoptic_seg": (torch.from_numpy(predicted), info),
            }
        )
    content = {"annotations": annotations, "categories": CATEGORIES}
    (folder / "panoptic.json").write_text(json.dumps(content))
    return records


def make_evaluator(folder, output_dir=None, **rules):
    return PanopticEvaluator(
        dataset_name="made",
        panoptic_json=folder / "panoptic.json",
        panoptic_root=folder / "panoptic",
        thing_ids=THINGS,
        stuff_ids=STUFF,
        output_dir=output_dir,
        **rules,
    )


def run(records, evaluator):
    return inference_on_dataset(Oracle(), [[r] for r in records], evaluator)["panoptic_seg"]


def expected_counts(folder, records, ratio=None):
    content = json.loads((folder / "panoptic.json").read_text())
    counts = torch.zeros(4, 4, dtype=torch.float64)
    by_image = {r["image_id"]: r["panoptic_seg"] for r in records}
    for annotation in content["annotations"]:
        if annotation["image_id"] not in by_image:
            continue
        segmentation, infos = by_image[annotation["image_id"]]
        expected = reference_counts(
            segmentation.numpy(),
            {s["id"]: PanopticSegment(INDEX[IDS[s["isthing"], s["category_id"]]]) for s in infos},
            read_panoptic(folder / "panoptic" / annotation["file_name"]),
            {
                s["id"]: PanopticSegment(INDEX[s["category_id"]], bool(s["iscrowd"]))
                for s in annotation["segments_info"]
            },
            *(4, "panopticapi", ratio),
        )
        counts += torch.from_numpy(expected)
    return counts


@pytest.fixture
def records(tmp_path):
    return write_data(tmp_path)


def test_figures_and_files(tmp_path, records):
    out = tmp_path / "out"
    results = run(records, make_evaluator(tmp_path, out))
    quality = panoptic_quality(expected_counts(tmp_path, records))
    for name in ("pq", "sq", "rq"):
        values = 100 * getattr(quality, name)
        for category, value in zip(["dog", "cat", "sky", "sea"], values.tolist(), strict=True):
            assert results[f"{name.upper()}-{category}"] == pytest.approx(value)
        assert results[name.upper()] == pytest.approx(values.mean().item())
        assert results[f"{name.upper()}_th"] == pytest.approx(values[:2].mean().item())
        assert results[f"{name.upper()}_st"] == pytest.approx(values[2:].mean().item())
    assert 10 < results["PQ"] < 100

    written = json.loads((out / "panoptic_results.json").read_text())["annotations"]
    assert [a["image_id"] for a in written] == [7, 8, 9, 10]
    for annotation, record in zip(written, records[::-1], strict=True):
        segmentation, infos = record["panoptic_seg"]
        stored = read_panoptic(out / "panoptic_results" / annotation["file_name"])
        assert np.array_equal(stored, segmentation.numpy())
        assert annotation["segments_info"] == [
            {"id": s["id"], "category_id": IDS[s["isthing"], s["category_id"]]} for s in infos
        ]
    again = make_evaluator(tmp_path).evaluate_file(out / "panoptic_results.json")
    assert again["panoptic_seg"] == pytest.approx(results)
    figures = json.loads((out / "panoptic_evaluation.json").read_text())["results"]
    assert figures == pytest.approx(results) and figures["crowds"] == "panopticapi"


def test_perfect_predictions(tmp_path):
    write_data(tmp_path)
    results = make_evaluator(tmp_path).evaluate_file(copy_of_truth(tmp_path))["panoptic_seg"]
    assert results["PQ"] == results["SQ"] == results["RQ"] == 100


def test_boundaries_beside_the_masks(tmp_path, records):
    """The same figures with a B before; what is lost at the outlines counts more."""
    plain = run(records, make_evaluator(tmp_path))
    out = tmp_path / "out"
    results = run(records, make_evaluator(tmp_path, out, boundary_dilation_ratio=0.02))
    assert {k: v for k, v in results.items() if not k.startswith("B")} == plain
    assert results.keys() - plain.keys() == {f"B{name}" for name in plain if name != "crowds"}
    assert 0 < results["BPQ"] < results["PQ"] - 5
    expected = panoptic_quality(expected_counts(tmp_path, records, ratio=0.02))
    for name, value in zip(["dog", "cat", "sky", "sea"], expected.pq.tolist(), strict=True):
        assert results[f"BPQ-{name}"] == pytest.approx(100 * value, abs=1e-9)
    again = make_evaluator(tmp_path, boundary_dilation_ratio=0.02)
    again = again.evaluate_file(out / "panoptic_results.json")
    assert again["panoptic_seg"] == pytest.approx(results)


def test_the_rule_for_crowds(tmp_path, caplog):
    """Two crowds of a category, and a segment on each: panopticapi's rule excuses the last."""
    ids = np.repeat([[0, 1, 2, 3]], 4, 0).astype(np.int32)
    (tmp_path / "panoptic").mkdir()
    write_panoptic(tmp_path / "panoptic" / "0.png", ids)
    infos = [{"id": i, "category_id": 4, "iscrowd": int(i < 3)} for i in (1, 2, 3)]
    annotation = {"image_id": 10, "file_name": "0.png", "segments_info": infos}
    content = {"annotations": [annotation], "categories": CATEGORIES}
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    info = [{"id": i, "isthing": True, "category_id": 0} for i in (1, 2, 3)]
    record = {"image_id": 10, "file_name": "0.jpg", "panoptic_seg": (torch.from_numpy(ids), info)}

    results = run([record], make_evaluator(tmp_path, tmp_path / "out"))
    assert results["PQ-dog"] == pytest.approx(100 / 1.5) and results["crowds"] == "panopticapi"
    assert "1 images in" in caplog.text and "the first is 10" in caplog.text
    assert "crowds: panopticapi (of a category's crowds" in results_table({"panoptic_seg": results})
    written = json.loads((tmp_path / "out" / "panoptic_evaluation.json").read_text())
    assert written["results"]["crowds"] == "panopticapi"
    results = run([record], make_evaluator(tmp_path, crowds="all"))
    assert results["PQ-dog"] == 100 and results["crowds"] == "all"
    with pytest.raises(ValueError, match=r"TEST\.PANOPTIC\.CROWDS"):
        make_evaluator(tmp_path, crowds="first")


def copy_of_truth(folder):
    """The ground truth without its crowds, as a results file."""
    content = json.loads((folder / "panoptic.json").read_text())
    (folder / "results").mkdir()
    for annotation in content["annotations"]:
        ids = read_panoptic(folder / "panoptic" / annotation["file_name"])
        for segment in annotation["segments_info"]:
            if segment["iscrowd"]:
                ids[ids == segment["id"]] = 0
        annotation["segments_info"] = [
            {"id": s["id"], "category_id": s["category_id"]}
            for s in annotation["segments_info"]
            if not s["iscrowd"]
        ]
        write_panoptic(folder / "results" / annotation["file_name"], ids)
    path = folder / "results.json"
    path.write_text(json.dumps({"annotations": content["annotations"]}))
    return path


def test_images_without_prediction_are_missed(tmp_path, records, caplog):
    results = run(records[:2], make_evaluator(tmp_path))
    nothing = (torch.zeros(24, 32, dtype=torch.int32), [])
    blank = [*records[:2], *({**r, "panoptic_seg": nothing} for r in records[2:])]
    assert results == pytest.approx(run(blank, make_evaluator(tmp_path)))
    assert "made: 2 of the 4 images" in caplog.text and "the first is 7" in caplog.text


def test_absent_categories(tmp_path, records):
    content = json.loads((tmp_path / "panoptic.json").read_text())
    content["categories"].append({"id": 50, "name": "road", "isthing": 0})
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    results = run(records, make_evaluator(tmp_path, tmp_path / "out"))
    assert math.isnan(results["PQ-road"]) and not math.isnan(results["PQ_st"])
    figures = json.loads((tmp_path / "out" / "panoptic_evaluation.json").read_text())
    assert figures["results"]["PQ-road"] is None


def evaluate_share(folder):
    rank = comm.get_rank()
    records = write_data(folder / f"copy{rank}")
    evaluator = make_evaluator(folder / f"copy{rank}", folder / "two")
    return run(records[3 * rank : 3 + rank], evaluator)


def test_two_processes(tmp_path, records):
    both = run_group(evaluate_share, tmp_path)
    expected = run(records, make_evaluator(tmp_path, tmp_path / "one"))
    assert both[0] == both[1] == pytest.approx(expected)
    name = "panoptic_results.json"
    assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


class TestBadInput:
    @pytest.mark.parametrize(
        "image_id, segmentation, info, message",
        [
            (4, None, None, r"0\.jpg: image_id 4 of data set 'made' is not in .*panoptic\.json"),
            (10, torch.zeros(9, 32), [], r"0\.jpg: the prediction has \(9, 32\) pixels"),
            (10, None, [], r"0\.jpg: the prediction has \d+ pixels of segment 1, which"),
            (10, None, [(True, 2)], r"0\.jpg: thing class 2 was predicted, but .* are 0 to 1"),
            (10, None, [(False, 0)], r"0\.jpg: stuff class 0 was predicted, but .* are 1 to 2"),
        ],
    )
    def test_prediction(self, tmp_path, records, image_id, segmentation, info, message):
        record = records[0] | {"image_id": image_id}
        before, infos = record["panoptic_seg"]
        if info is not None:
            infos = [{"id": 1, "isthing": t, "category_id": c} for t, c in info]
        record["panoptic_seg"] = (before if segmentation is None else segmentation.int(), infos)
        with pytest.raises(ValueError, match=message):
            run([record], make_evaluator(tmp_path))

    def test_twice(self, tmp_path, records):
        with pytest.raises(ValueError, match="image 10 was predicted twice"):
            run([records[0], records[0]], make_evaluator(tmp_path))

    @pytest.mark.parametrize(
        "change, message",
        [
            (lambda a: a[0].update(image_id=4), r"results\.json: image_id 4 is not in"),
            (lambda a: a[0].update(image_id=9), r"image_id 9 occurs twice"),
            (lambda a: a[0].pop("segments_info"), r"image 10 \(0\.png\) has no 'segments_info'"),
            (lambda a: a.append(7), r"an annotation is 7; expected an object"),
            (lambda a: a[0].update(file_name=None), r"image 10 has no 'file_name'"),
            (
                lambda a: a[0]["segments_info"][0].update(category_id=5),
                r"segment \d+ of 0\.png has the category 5, which is not in the list",
            ),
            (lambda a: a[0]["segments_info"].pop(), r"image 10: the prediction has .* segment"),
        ],
    )
    def test_results_file(self, tmp_path, records, change, message):
        path = copy_of_truth(tmp_path)
        content = json.loads(path.read_text())
        change(content["annotations"])
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            make_evaluator(tmp_path).evaluate_file(path)

    def test_results_file_without_png(self, tmp_path, records):
        path = copy_of_truth(tmp_path)
        (tmp_path / "results" / "2.png").unlink()
        with pytest.raises(FileNotFoundError, match=r"results/2\.png"):
            make_evaluator(tmp_path).evaluate_file(path)

    @pytest.mark.parametrize("text", ["[]", "<html>", '{"annotations": 3}'])
    def test_another_file(self, tmp_path, records, text):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ValueError, match=r"a\.json is not a (JSON )?file"):
            make_evaluator(tmp_path).evaluate_file(tmp_path / "a.json")

    def test_categories_of_another_data_set(self, tmp_path, records):
        with pytest.raises(ValueError, match="category 3 of data set 'made' is not in"):
            PanopticEvaluator(
                dataset_name="made",
                panoptic_json=tmp_path / "panoptic.json",
                panoptic_root=tmp_path / "panoptic",
                thing_ids={3: 0},
                stuff_ids=STUFF,
            )


def test_largest_id_round_trip(tmp_path):
    segments = np.array([[0, 255, 256, 256**3 - 1]], dtype=np.int32)
    write_panoptic(tmp_path / "a.png", segments)
    assert np.array_equal(read_panoptic(tmp_path / "a.png"), segments)


def test_slices_are_their_images_alone(tmp_path, records):
    slices = Slices({"night": [10, 8], "rain": [8, 7], "elsewhere": [99]})
    rules = {"slices": slices, "boundary_dilation_ratio": 0.1}
    results = run(records, make_evaluator(tmp_path, tmp_path / "out", **rules))
    assert list(results["slices"]) == ["night", "rain"]
    for name, of_slice in results["slices"].items():
        some = [r for r in records if r["image_id"] in slices.images[name]]
        assert of_slice["images"] == len(some)
        for letter, ratio in (("", None), ("B", 0.1)):
            counts = expected_counts(tmp_path, some, ratio)
            pq = 100 * panoptic_quality(counts).pq.nanmean().item()
            assert of_slice["results"][f"{letter}PQ"] == pytest.approx(pq)
            low, high = of_slice["intervals"][f"{letter}PQ"]
            assert low <= pq + 1e-9 and pq - 1e-9 <= high
        assert of_slice["results"].keys() == {
            name for name, value in results.items() if isinstance(value, float)
        }
    written = json.loads((tmp_path / "out" / "panoptic_evaluation.json").read_text())
    assert written["slices"] == results["slices"] and "slices" not in written["results"]
    assert (tmp_path / "out" / "slices_panoptic_seg.csv").exists()
    assert "  night" in results_table({"panoptic_seg": results})
