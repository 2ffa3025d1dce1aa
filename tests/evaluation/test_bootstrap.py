"""Confidence intervals and paired comparison over images."""

import json

import pytest
import torch

from segsuite.evaluation import bootstrap as module
from segsuite.evaluation import (
    compare_mean_iou,
    inference_on_dataset,
    iou_intervals,
    load_image_counts,
)

from .helpers import Oracle, make_record
from .test_sem_seg import NAMES, make_evaluator


def counts_of(accuracies, num_classes=3, pixels=1000):
    """Images whose pixels, as many of each class, are right with the given probabilities."""
    counts = []
    for accuracy in accuracies:
        right = round(accuracy * pixels)
        counts.append([[right] * num_classes, [pixels] * num_classes, [pixels] * num_classes])
    return torch.tensor(counts)


def test_interval_holds_the_mean_and_narrows_with_the_images():
    generator = torch.Generator().manual_seed(3)
    accuracies = (0.7 + 0.1 * torch.randn(400, generator=generator)).clamp(0, 1).tolist()
    few, many = counts_of(accuracies[:20]), counts_of(accuracies)
    widths = []
    for counts in (few, many):
        low, high = iou_intervals(counts)
        right, labelled, predicted = counts.sum(0)
        iou = (right / (labelled + predicted - right)).double()
        assert low.shape == high.shape == (4,)
        assert low[0] < iou.mean() < high[0] and (low[1:] < iou).all() and (iou < high[1:]).all()
        widths.append((high - low)[0].item())
    assert widths[1] < 0.35 * widths[0]  # as 1 / sqrt(20)


def test_coverage():
    """About 95 of 100 intervals hold the true value."""
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(100):
        accuracy = 0.5 + 0.2 * (torch.rand(60, generator=generator) - 0.5)
        low, high = iou_intervals(counts_of(accuracy.tolist()), num_samples=200)
        inside += bool(low[0] <= 1 / 3 <= high[0])  # 0.5 / (2 - 0.5)
    assert 88 <= inside <= 100


def test_one_image_and_equal_images_have_no_spread():
    low, high = iou_intervals(counts_of([0.5]))
    assert torch.equal(low, high) and low[0] == pytest.approx(1 / 3)
    low, high = iou_intervals(counts_of([0.5] * 9))
    assert torch.allclose(low, high)


def test_class_that_few_samples_have():
    counts = counts_of([0.5] * 5)
    counts[:, :, 2] = 0
    low, _ = iou_intervals(counts)
    assert low[3].isnan() and low[0] == pytest.approx(1 / 3)
    low, _ = iou_intervals(counts, absent_classes="zero")
    assert low[3] == 0 and low[0] == pytest.approx(2 / 9)


def test_drawn_in_chunks(monkeypatch):
    counts = counts_of([0.2, 0.4, 0.6, 0.9])
    whole = iou_intervals(counts)
    monkeypatch.setattr(module, "_CHUNK", 64)
    for end, of_whole in zip(iou_intervals(counts), whole, strict=True):
        assert torch.allclose(end, of_whole, atol=0.02)


class TestComparison:
    def test_a_small_but_steady_gain_is_seen(self):
        """Unpaired intervals overlap by far; image by image the second is always better."""
        accuracies = torch.linspace(0.3, 0.9, 50)
        first, second = counts_of(accuracies.tolist()), counts_of((accuracies + 0.01).tolist())
        found = compare_mean_iou(first, second)
        assert iou_intervals(first)[1][0] > iou_intervals(second)[0][0]
        assert 0 < found.low < found.difference < found.high
        assert found.p < 0.01 and found.difference == pytest.approx(found.second - found.first)

    def test_noise_is_not(self):
        generator = torch.Generator().manual_seed(1)
        first, second = (counts_of(torch.rand(40, generator=generator).tolist()) for _ in "ab")
        found = compare_mean_iou(first, second)
        assert found.low < 0 < found.high and found.p > 0.05

    def test_the_same_run(self):
        counts = counts_of([0.2, 0.5, 0.8])
        found = compare_mean_iou(counts, counts)
        assert found.difference == found.low == found.high == 0 and found.p == 1

    def test_another_ground_truth(self):
        with pytest.raises(ValueError, match="not of the same ground truth"):
            compare_mean_iou(counts_of([0.5, 0.5]), counts_of([0.5]))
        with pytest.raises(ValueError, match="not of the same ground truth"):
            compare_mean_iou(counts_of([0.5]), counts_of([0.5], pixels=10))


def test_intervals_are_saved_with_the_results(tmp_path):
    records = [make_record(i, 3, size=(20 + i, 30)) for i in range(6)]
    inference_on_dataset(Oracle(), [[r] for r in records], make_evaluator(output_dir=tmp_path))
    written = json.loads((tmp_path / "sem_seg_evaluation.json").read_text())
    intervals = written["intervals"]
    assert intervals["level"] == 0.95 and intervals["samples"] == 1000
    low, high = iou_intervals(load_image_counts(tmp_path / "image_counts.pt")["counts"])
    assert intervals["figures"]["mIoU"] == pytest.approx(
        [100 * low[0].item(), 100 * high[0].item()]
    )
    for name in ("mIoU", *(f"IoU-{n}" for n in NAMES)):
        bounds = intervals["figures"][name]
        assert bounds[0] <= written["results"][name] <= bounds[1]
