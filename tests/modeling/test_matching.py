"""Matching and sampling of anchors and proposals."""

import pytest
import torch

from segsuite.modeling.matcher import Matcher
from segsuite.modeling.sampling import sample_labels, subsample_labels

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


def test_several_images_at_once():
    """The leading axes are images; each has the matches and labels that it has alone."""
    torch.manual_seed(0)
    quality = torch.rand(3, 4, 50) * (torch.rand(3, 4, 50) > 0.5)
    matcher = Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True)
    matches, labels = matcher(quality)
    for i, of_image in enumerate(quality):
        alone = matcher(of_image)
        assert torch.equal(matches[i], alone[0]) and torch.equal(labels[i], alone[1])


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


@pytest.mark.parametrize("num_samples, fraction", [(12, 0.25), (6, 0.5), (64, 0.5), (8, 0), (8, 1)])
def test_samples_of_several_images(num_samples, fraction):
    """As many of each kind as `subsample_labels` draws, foreground first, each once."""
    torch.manual_seed(0)
    labels = torch.randint(-1, 3, (5, 40))
    labels[1], labels[2], labels[3, 3:] = 2, -1, -1
    sample = sample_labels(labels, num_samples, fraction, bg_label=2)
    for i, of_image in enumerate(labels):
        foreground, background = subsample_labels(of_image, num_samples, fraction, bg_label=2)
        drawn = sample.indices[i][sample.valid[i]].tolist()
        kinds = sample.foreground[i][sample.valid[i]].tolist()
        assert kinds == [True] * len(foreground) + [False] * len(background)
        assert len(set(drawn)) == len(drawn)
        for index, is_foreground in zip(drawn, kinds, strict=True):
            assert of_image[index] in ((0, 1) if is_foreground else (2,))
        assert not sample.valid[i, len(drawn) :].any()


def test_each_is_drawn_as_often():
    labels = torch.tensor([[1, 0, 0, -1, 1, 1, 0, 0]]).expand(4000, -1)
    torch.manual_seed(0)
    sample = sample_labels(labels, 4, 0.5, bg_label=0)
    counts = sample.indices.flatten().bincount(minlength=8)
    assert counts[3] == 0 and sample.valid.all()
    shares = counts / 4000
    assert (shares[[0, 4, 5]] - 2 / 3).abs().max() < 0.04
    assert (shares[[1, 2, 6, 7]] - 1 / 2).abs().max() < 0.04
