"""Matching and sampling of anchors and proposals."""

import pytest
import torch

from segsuite.modeling.matcher import Matcher
from segsuite.modeling.sampling import subsample_labels

QUALITY = torch.tensor([[0.1, 0.3, 0.5, 0.7, 0.0], [0.2, 0.0, 0.6, 0.0, 0.0]])


def test_labels_by_threshold():
    matches, labels = Matcher([0.3, 0.7], [0, -1, 1])(QUALITY)
    assert matches.tolist()[:4] == [1, 0, 1, 0]
    assert labels.tolist() == [0, -1, -1, 1, 0]


def test_every_object_has_its_best_prediction():
    _, labels = Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True)(QUALITY)
    assert labels.tolist() == [0, -1, 1, 1, 0]


def test_an_object_that_nothing_overlaps_matches_nothing():
    quality = torch.tensor([[0.0, 0.0], [0.0, 0.9]])
    _, labels = Matcher([0.5], [0, 1], allow_low_quality_matches=True)(quality)
    assert labels.tolist() == [0, 1]


def test_no_objects():
    matches, labels = Matcher([0.5], [0, 1])(torch.zeros(0, 3))
    assert matches.tolist() == labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "thresholds, labels, message",
    [
        ([0.5], [0], "take 2 labels"),
        ([0.5], [0, 2], "take 2 labels"),
        ([0.7, 0.3], [0, -1, 1], "must ascend"),
    ],
)
def test_matcher_errors(thresholds, labels, message):
    with pytest.raises(ValueError, match=message):
        Matcher(thresholds, labels)


@pytest.mark.parametrize(
    "num_samples, positives, negatives", [(4, 1, 3), (12, 3, 8), (40, 4, 8), (0, 0, 0)]
)
def test_samples(num_samples, positives, negatives):
    labels = torch.tensor([5] * 8 + [-1] * 3 + [0, 1, 2, 3])
    positive, negative = subsample_labels(labels, num_samples, 0.25, bg_label=5)
    assert (len(positive), len(negative)) == (positives, negatives)
    assert (labels[positive] < 5).all() and (labels[positive] >= 0).all()
    assert (labels[negative] == 5).all()
    assert len(set(positive.tolist() + negative.tolist())) == positives + negatives


def test_samples_are_drawn_at_random():
    labels = torch.zeros(1000, dtype=torch.int8)
    torch.manual_seed(0)
    first = subsample_labels(labels, 10, 0.5, 0)[1]
    second = subsample_labels(labels, 10, 0.5, 0)[1]
    assert set(first.tolist()) != set(second.tolist())
