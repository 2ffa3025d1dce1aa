"""`segsuite compare` on the files that two evaluations leave."""

from __future__ import annotations

import pytest

from segsuite.evaluation import inference_on_dataset
from segsuite.evaluation.compare import compare_runs, evaluated_datasets
from tests.evaluation.helpers import Oracle, make_record
from tests.evaluation.test_sem_seg import make_evaluator
from tests.processes import run_segsuite

RECORDS = [make_record(i, 3) for i in range(30)]


def better(record):
    """A record whose logits know something of the truth."""
    logits = record["logits"].clone()
    truth = record["sem_seg_gt"][::4, ::4].long()
    for k in range(3):
        logits[k, : truth.shape[0], : truth.shape[1]] += 0.7 * (truth == k)
    return record | {"logits": logits}


def evaluate(run, records, **kwargs):
    evaluator = make_evaluator(output_dir=run / "evaluation" / "streets", **kwargs)
    inference_on_dataset(Oracle(), [[r] for r in records], evaluator)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    a, b = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    evaluate(a, RECORDS)
    evaluate(b, [better(r) for r in reversed(RECORDS)])
    return a, b


def test_images_are_matched_by_id(runs):
    result, images = compare_runs(*runs, "streets")
    assert images == 30 and evaluated_datasets(runs[0]) == ["streets"]
    assert result.second > result.first and result.low > 0 and result.p < 0.01
    backwards, _ = compare_runs(*reversed(runs), "streets")
    assert backwards.difference == pytest.approx(-result.difference)


def test_command_line(runs, tmp_path):
    done = run_segsuite("compare", *runs)
    assert done.returncode == 0, done.stderr
    assert "streets: 30 images" in done.stdout and "B - A    +0." in done.stdout
    assert "more than the choice of images explains" in done.stdout
    nothing = run_segsuite("compare", runs[0], tmp_path)
    assert nothing.returncode == 2 and "is no run" in nothing.stderr


def test_what_can_not_be_compared(runs, tmp_path):
    evaluate(tmp_path / "few", RECORDS[:5])
    with pytest.raises(ValueError, match=r"have not the same images \(30, first .*; 5, first"):
        compare_runs(runs[0], tmp_path / "few", "streets")
    evaluate(tmp_path / "rule", RECORDS, absent_classes="zero")
    with pytest.raises(ValueError, match=r"rule for absent classes \(detectron2; zero\)"):
        compare_runs(runs[0], tmp_path / "rule", "streets")
    with pytest.raises(FileNotFoundError, match="segsuite eval"):
        compare_runs(runs[0], runs[1], "elsewhere")
