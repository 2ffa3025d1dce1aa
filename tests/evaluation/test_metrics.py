"""Figures from a confusion matrix, against set arithmetic on label maps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segsuite.evaluation.metrics import ABSENT_CLASS_RULES, class_ratio, sem_seg_metrics

# The example of docs/metrics.md: the third class is predicted but never labelled.
EXAMPLE = torch.tensor([[90, 0, 10, 0], [0, 63, 37, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def confusion(target, prediction, num_classes):
    """Count pairs one by one; K stands for everything outside the classes."""
    matrix = torch.zeros(num_classes + 1, num_classes + 1, dtype=torch.int64)
    for t, p in zip(target, prediction, strict=True):
        matrix[t, p] += 1
    return matrix


def reference(target, prediction, num_classes, rule):
    """IoU and accuracy of each class from the sets of its pixels; NaN: not in the means."""
    known = target < num_classes
    target, prediction = target[known], prediction[known]
    iou, accuracy = np.full(num_classes, np.nan), np.full(num_classes, np.nan)
    for c in range(num_classes):
        t, p = target == c, prediction == c
        if (t | p).any():
            iou[c] = (t & p).sum() / (t | p).sum()
        if t.any():
            accuracy[c] = (t & p).sum() / t.sum()
        elif rule == "detectron2":
            iou[c] = np.nan
    if rule in ("zero", "one"):
        iou, accuracy = (np.nan_to_num(x, nan=float(rule == "one")) for x in (iou, accuracy))
    return iou, accuracy


@st.composite
def label_maps(draw):
    num_classes = draw(st.integers(1, 5))
    size = draw(st.integers(0, 30))
    labels = st.lists(st.integers(0, num_classes), min_size=size, max_size=size)
    return num_classes, np.array(draw(labels), int), np.array(draw(labels), int)


@given(label_maps(), st.sampled_from(sorted(ABSENT_CLASS_RULES)))
def test_equals_set_arithmetic(maps, rule):
    num_classes, target, prediction = maps
    iou, accuracy = reference(target, prediction, num_classes, rule)
    m = sem_seg_metrics(confusion(target, prediction, num_classes), absent_classes=rule)
    assert m.iou.dtype == torch.float64
    np.testing.assert_allclose(m.iou, iou, rtol=1e-12)
    np.testing.assert_allclose(m.accuracy, accuracy, rtol=1e-12)
    for mean, values in ((m.mean_iou, iou), (m.mean_accuracy, accuracy)):
        expected = np.nanmean(values) if not np.isnan(values).all() else math.nan
        np.testing.assert_allclose(mean, expected, rtol=1e-12)

    known = target < num_classes
    if known.any():
        assert m.pixel_accuracy == pytest.approx((target == prediction)[known].mean())
        shares = np.array([(target[known] == c).mean() for c in range(num_classes)])
        weighted = np.nansum(np.where(shares > 0, shares * iou, 0))
        assert m.frequency_weighted_iou == pytest.approx(weighted)
    else:
        assert m.pixel_accuracy.isnan() and m.frequency_weighted_iou.isnan()


@pytest.mark.parametrize(
    ("rule", "mean_iou", "mean_accuracy"),
    [
        ("detectron2", 76.5, 76.5),
        ("nanmean", 51.0, 76.5),
        ("zero", 51.0, 51.0),
        ("one", 51.0, 253 / 3),
    ],
)
def test_predicted_but_never_labelled(rule, mean_iou, mean_accuracy):
    m = sem_seg_metrics(EXAMPLE, absent_classes=rule)
    assert 100 * m.mean_iou == pytest.approx(mean_iou)
    assert 100 * m.mean_accuracy == pytest.approx(mean_accuracy)
    # These two do not know the rule.
    assert 100 * m.pixel_accuracy == pytest.approx(76.5)
    assert 100 * m.frequency_weighted_iou == pytest.approx(76.5)


@pytest.mark.parametrize(
    ("rule", "mean_iou"), [("detectron2", 0.8), ("nanmean", 0.8), ("zero", 0.4), ("one", 0.9)]
)
def test_neither_predicted_nor_labelled(rule, mean_iou):
    matrix = torch.tensor([[8, 0, 2], [0, 0, 0], [0, 0, 0]])
    assert sem_seg_metrics(matrix, absent_classes=rule).mean_iou == pytest.approx(mean_iou)


def test_perfect():
    m = sem_seg_metrics(torch.diag(torch.tensor([5, 1, 3, 0])))
    assert m.iou.tolist() == m.accuracy.tolist() == [1, 1, 1]
    assert m.mean_iou == m.mean_accuracy == m.pixel_accuracy == m.frequency_weighted_iou == 1


def test_outside_the_classes():
    # Predicted outside: a miss. Labelled outside: takes no part, although predicted as class 0.
    m = sem_seg_metrics(torch.tensor([[6, 2], [100, 7]]))
    assert m.iou.tolist() == m.accuracy.tolist() == [0.75]


def test_batch_of_matrices_and_large_counts():
    small = torch.randint(0, 9, (2, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    batch = small * 2**52  # a sum in float32 or int32 would be off
    m = sem_seg_metrics(batch)
    assert m.iou.shape == (2, 3, 3) and m.mean_iou.shape == (2, 3)
    one = sem_seg_metrics(small[1, 2])
    np.testing.assert_allclose(m.iou[1, 2], one.iou, rtol=1e-14)
    np.testing.assert_allclose(
        m.frequency_weighted_iou[1, 2], one.frequency_weighted_iou, rtol=1e-14
    )


def test_errors():
    with pytest.raises(ValueError, match=r"Did you mean 'nanmean'.*detectron2"):
        sem_seg_metrics(EXAMPLE, absent_classes="nan_mean")
    with pytest.raises(ValueError, match=r"K \+ 1\), got \(3, 4\)"):
        sem_seg_metrics(EXAMPLE[:3])
    counts = torch.ones(2)
    with pytest.raises(ValueError, match=r"TEST\.SEM_SEG\.ABSENT_CLASSES"):
        class_ratio(counts, counts, counts, "")
