import pytest
import torch

from segsuite.evaluation import calibration_counts, calibration_figures
from segsuite.structures import SemSegLogits


def prediction(logits, size=None):
    h, w = logits.shape[-2:]
    return SemSegLogits(logits, (h, w), size or (h, w))


def test_bins_of_known_confidences():
    # Probabilities 0.9 (right), 0.9 (wrong), 0.55 (right), ignored.
    p = torch.tensor([[0.9, 0.9, 0.45, 0.9]])
    logits = torch.stack([p.log(), (1 - p).log()])
    counts = calibration_counts(prediction(logits), torch.tensor([[0, 1, 1, 255]]))
    assert counts[:, 0].nonzero().flatten().tolist() == [8, 13]
    assert counts[13, [0, 2]].tolist() == [2, 1] and counts[8, [0, 2]].tolist() == [1, 1]
    figures = calibration_figures(counts)
    assert figures["bins"][13]["confidence"] == pytest.approx(0.9, abs=1e-6)
    assert figures["bins"][13]["accuracy"] == 0.5 and figures["bins"][0]["accuracy"] is None
    assert figures["ECE"] == pytest.approx(100 * (2 * 0.4 + 1 * 0.45) / 3, abs=1e-4)


def test_sampled_pixels_have_the_values_of_the_full_prediction():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 20, 25, generator=generator)
    large = prediction(logits, (311, 403))
    target = torch.randint(0, 4, (311, 403), generator=generator)
    step = 4  # the smallest with at most 8192 of the pixels
    probability, label = large.full().softmax(0).max(0)
    rows = (slice(step // 2, None, step),) * 2
    right = (label == target)[rows]
    counts = calibration_counts(large, target)
    assert counts[:, 0].sum() == right.numel() <= 8192
    assert counts[:, 2].sum() == right.sum()
    mean = counts[:, 1].sum() / 2**24 / right.numel()
    assert mean == pytest.approx(probability[rows].mean().item(), abs=1e-5)


def test_nothing_labelled_and_nan():
    logits = torch.full((2, 4, 4), torch.nan)
    counts = calibration_counts(prediction(logits), torch.zeros(4, 4, dtype=torch.uint8))
    assert counts.sum() == 0 and calibration_figures(counts)["ECE"] is None
