"""Panoptic quality, by hand and against the definition with masks."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segsuite.evaluation import panoptic_counts, panoptic_quality
from segsuite.evaluation.panoptic_metrics import CROWD_RULES, PanopticSegment

from .panoptic_reference import reference_counts


def row(text):
    """One row of ids: "0 0 1 1"."""
    return torch.tensor([[int(i) for i in text.split()]], dtype=torch.int32)


def counts(prediction, predicted, target, true, num_categories=3, **rules):
    def segments(facts):
        facts = {i: fact if isinstance(fact, tuple) else (fact,) for i, fact in facts.items()}
        return {i: PanopticSegment(*fact) for i, fact in facts.items()}

    return panoptic_counts(
        row(prediction), segments(predicted), row(target), segments(true), num_categories, **rules
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


def test_several_crowds_of_a_category():
    """By panopticapi's rule the last one of the list excuses, by the other all of them."""
    for first, last, excused in ((6, 7, False), (7, 6, True)):
        true = {first: (0, True), last: (0, True), 5: (1, True), 8: 1}
        maps = ("1 1 1 1 1", {1: 0}, "6 6 6 7 8", true)
        assert counts(*maps)[0] == (NOTHING if excused else [0, 0, 1, 0])
        assert counts(*maps, crowds="all")[0] == NOTHING
    with pytest.raises(ValueError, match=r"'any'.*TEST\.PANOPTIC\.CROWDS"):
        counts(*maps, crowds="any")


def test_boundaries():
    """A square of 9 x 9 found without its upper row: bands of one pixel, 2 * 8 + 2 * 8 = 32."""
    target = torch.zeros(20, 20, dtype=torch.int32)
    target[5:14, 5:14] = 7
    prediction = torch.where(torch.arange(20)[:, None] == 5, 0, target)
    segments = {7: PanopticSegment(0)}
    maps = (prediction, segments, target, segments, 1)
    assert panoptic_counts(*maps)[0].tolist() == [72 / 81, 1, 0, 0]
    # The band of 9 x 8 has 30 pixels, 23 of which (7 are of its own upper row) are in the other.
    expected = [23 / (30 + 32 - 23), 1, 0, 0]
    assert panoptic_counts(*maps, dilation_ratio=0.02)[0].tolist() == expected
    # Void of the target belongs to no union: nothing of the missing row counts.
    target[5][target[5] == 7] = 0
    assert panoptic_counts(*maps, dilation_ratio=0.02)[0].tolist() == [1, 1, 0, 0]
    # Bands of one half or less: neither matched nor, where the masks would be, excused.
    prediction = torch.roll(target, 1, 1)
    maps = (prediction, segments, target, segments, 1)
    assert panoptic_counts(*maps)[0, 1] == 1
    assert panoptic_counts(*maps, dilation_ratio=0.02)[0].tolist() == [0, 0, 1, 1]


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


IDS = arrays(np.int32, (6, 8), elements=st.integers(0, 4))
CATEGORIES = st.lists(st.integers(0, 2), min_size=5, max_size=5)
CROWDS = st.lists(st.booleans(), min_size=5, max_size=5)
RATIOS = st.sampled_from([None, 0.02, 0.2])


@settings(max_examples=200, deadline=None)
@given(
    *(IDS, IDS, CATEGORIES, CATEGORIES, CROWDS, st.booleans()),
    *(st.permutations([1, 2, 3, 4]), st.sampled_from(list(CROWD_RULES)), RATIOS),
)
def test_definition(
    prediction, target, categories, true_categories, crowds, alike, order, rule, ratio
):
    if alike:  # so that segments do match
        prediction = np.where(prediction == 4, prediction, target)
        true_categories = categories
    predicted = {i: PanopticSegment(categories[i]) for i in np.unique(prediction).tolist() if i}
    true = {i: PanopticSegment(true_categories[i], crowds[i]) for i in order if (target == i).any()}
    got = panoptic_counts(
        *(torch.from_numpy(prediction), predicted, torch.from_numpy(target), true, 3),
        crowds=rule,
        dilation_ratio=ratio,
    )
    expected = reference_counts(prediction, predicted, target, true, 3, rule, ratio)
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", CROWD_RULES)
@pytest.mark.parametrize("ratio", [None, 0.02])
def test_many_segments(rule, ratio):
    """Regions as large as those of pictures, many of them crowds, found a little aside."""
    rng = np.random.default_rng(0)
    target = cv2.resize(rng.integers(0, 40, (12, 16)), (320, 240), None, 0, 0, cv2.INTER_NEAREST)
    prediction = np.roll(target, (2, 3), (0, 1))
    prediction[rng.random(target.shape) < 0.03] = 41
    true = {i: PanopticSegment(i % 5, i % 5 > 2 and i % 2 == 0) for i in range(1, 40)}
    predicted = {i: PanopticSegment(i % 5) for i in np.unique(prediction).tolist() if i}
    got = panoptic_counts(
        *(torch.from_numpy(prediction), predicted, torch.from_numpy(target), true, 5),
        crowds=rule,
        dilation_ratio=ratio,
    )
    expected = reference_counts(prediction, predicted, target, true, 5, rule, ratio)
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-12)
    assert expected[:, 1].sum() > 5
    assert expected[:, 2].sum() > (3 if rule == "panopticapi" else 0)
