"""Panoptic quality, by hand and against the definition with masks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segsuite.evaluation import panoptic_counts, panoptic_quality
from segsuite.evaluation.panoptic_metrics import PanopticSegment


def row(text):
    """One row of ids: "0 0 1 1"."""
    return torch.tensor([[int(i) for i in text.split()]], dtype=torch.int32)


def counts(prediction, predicted, target, true, num_categories=3):
    def segments(facts):
        facts = {i: fact if isinstance(fact, tuple) else (fact,) for i, fact in facts.items()}
        return {i: PanopticSegment(*fact) for i, fact in facts.items()}

    return panoptic_counts(
        row(prediction), segments(predicted), row(target), segments(true), num_categories
    ).tolist()


NOTHING = [0, 0, 0, 0]


def test_perfect():
    ids = "1 1 1 2 2 3"
    got = counts(ids, {1: 0, 2: 0, 3: 1}, ids, {1: 0, 2: 0, 3: 1})
    assert got == [[2, 2, 0, 0], [1, 1, 0, 0], NOTHING]


def test_match_needs_more_than_half():
    """3 of 4 pixels match; 2 of 4 do not, and are a false and a missed segment."""
    assert counts("1 1 1 0", {1: 0}, "7 7 7 7", {7: 0})[0] == [0.75, 1, 0, 0]
    assert counts("1 1 0 0", {1: 0}, "7 7 7 7", {7: 0})[0] == [0, 0, 1, 1]


def test_other_category():
    got = counts("1 1", {1: 0}, "7 7", {7: 1})
    assert got == [[0, 0, 1, 0], [0, 0, 0, 1], NOTHING]


def test_void_of_the_target_is_not_in_the_union():
    assert counts("1 1 1 1", {1: 0}, "7 7 0 0", {7: 0})[0] == [1, 1, 0, 0]


def test_predicted_segment_on_void():
    """More than half on void: no mistake; half: one."""
    assert counts("1 1 1 0", {1: 0}, "0 0 7 7", {7: 1})[0] == NOTHING
    assert counts("1 1 0 0", {1: 0}, "0 7 7 7", {7: 1})[0] == [0, 0, 1, 0]


def test_crowds():
    """A crowd is neither found nor missed, and excuses segments of its category alone."""
    crowd = {7: (0, True)}
    assert counts("1 1 2 2", {1: 0, 2: 0}, "7 7 7 7", crowd)[0] == NOTHING
    assert counts("1 1 1 1", {1: 1}, "7 7 7 7", crowd)[1] == [0, 0, 1, 0]
    # Void and crowd together.
    assert counts("1 1 1 1", {1: 0}, "0 7 8 8", crowd | {8: 1})[0] == [0, 0, 1, 0]
    assert counts("1 1 1 1", {1: 0}, "0 7 7 8", crowd | {8: 1})[0] == NOTHING
    # Several crowds of a category.
    assert counts("1 1 1 1", {1: 0}, "6 6 7 8", crowd | {6: (0, True), 8: 1})[0] == NOTHING


def test_true_segment_without_pixels_is_missed():
    assert counts("1 1", {1: 0}, "7 7", {7: 0, 9: 2}) == [[1, 1, 0, 0], NOTHING, [0, 0, 0, 1]]


def test_large_ids():
    top = 256**3 - 1
    assert counts(f"{top} {top}", {top: 0}, f"{top} 0", {top: 0})[0] == [1, 1, 0, 0]


def test_figures():
    """Two matches of IoU 0.75, one false and one missed segment; nothing but a miss; nothing."""
    quality = panoptic_quality(torch.tensor([[1.5, 2, 1, 1], [0, 0, 0, 2], [0, 0, 0, 0]]))
    assert quality.sq.tolist()[:2] == [0.75, 0]
    assert quality.rq.tolist()[:2] == pytest.approx([2 / 3, 0])
    assert quality.pq.tolist()[:2] == pytest.approx([0.5, 0])
    assert all(math.isnan(x[2]) for x in (quality.pq, quality.sq, quality.rq))
    mean = quality.mean(torch.tensor([True, True, True]))
    assert mean == pytest.approx({"pq": 0.25, "sq": 0.375, "rq": 1 / 3})
    assert math.isnan(quality.mean(torch.tensor([False, False, True]))["pq"])


@pytest.mark.parametrize(
    "maps, message",
    [
        (("1 1", {}, "7 7", {7: 0}), "the prediction has 2 pixels of segment 1, which its seg"),
        (("1 1", {1: 0}, "7 7", {}), "the ground truth has 2 pixels of segment 7"),
        (("1 1", {1: 0, 2: 0}, "7 7", {7: 0}), "predicted segment 2 has no pixel"),
        (("1 1 1", {1: 0}, "7 7", {7: 0}), r"prediction has \(1, 3\) pixels .* truth \(1, 2\)"),
    ],
)
def test_errors(maps, message):
    with pytest.raises(ValueError, match=message):
        counts(*maps)


def by_masks(prediction, predicted, target, true, num_categories):
    """Section 4.1 of the paper, segment by segment."""
    result = np.zeros((num_categories, 4))
    void = target == 0
    matched_true = set()
    for p, segment in predicted.items():
        mask = prediction == p
        hit = False
        for t, other in true.items():
            if other.category != segment.category or other.is_crowd:
                continue
            mask_true = target == t
            iou = (mask & mask_true).sum() / ((mask | mask_true) & ~(mask & void)).sum()
            if iou > 0.5:
                hit = True
                matched_true.add(t)
                result[segment.category, :2] += (iou, 1)
        ignored = void.copy()
        for t, other in true.items():
            if other.is_crowd and other.category == segment.category:
                ignored |= target == t
        if not hit and (mask & ignored).sum() / mask.sum() <= 0.5:
            result[segment.category, 2] += 1
    for t, segment in true.items():
        if t not in matched_true and not segment.is_crowd:
            result[segment.category, 3] += 1
    return result


IDS = arrays(np.int32, (4, 6), elements=st.integers(0, 4))
CATEGORIES = st.lists(st.integers(0, 2), min_size=5, max_size=5)
CROWDS = st.lists(st.booleans(), min_size=5, max_size=5)


@settings(max_examples=200, deadline=None)
@given(IDS, IDS, CATEGORIES, CATEGORIES, CROWDS, st.booleans())
def test_definition(prediction, target, categories, true_categories, crowds, alike):
    if alike:  # so that segments do match
        prediction = np.where(prediction == 4, prediction, target)
        true_categories = categories
    predicted = {i: PanopticSegment(categories[i]) for i in np.unique(prediction).tolist() if i}
    true = {
        i: PanopticSegment(true_categories[i], crowds[i])
        for i in range(1, 5)
        if (target == i).any()
    }
    got = panoptic_counts(
        torch.from_numpy(prediction), predicted, torch.from_numpy(target), true, 3
    )
    expected = by_masks(prediction, predicted, target, true, 3)
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-12)
