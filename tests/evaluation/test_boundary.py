"""Boundary IoU against the paper's construction, one class and one erosion at a time."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segsuite.evaluation.boundary import (
    band_width,
    boundary_confusion_matrix,
    boundary_iou,
    boundary_labels,
)

IGNORE = 1000  # above every class id in these tests


def reference_band(mask, distance):
    """The pixels that d erosions by a 3 x 3 square remove; outside the image nothing is mask."""
    padded = np.pad(mask.astype(np.uint8), distance)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)
    height, width = mask.shape
    return mask & (eroded[distance:, distance:][:height, :width] == 0)


def reference_counts(prediction, target, num_classes, ratio):
    """Intersection and union of the bands of each class."""
    height, width = target.shape
    distance = max(1, round(ratio * (height**2 + width**2) ** 0.5))
    counted = target != IGNORE
    intersection, union = [], []
    for c in range(num_classes):
        a = reference_band((prediction == c) & counted, distance)
        b = reference_band((target == c) & counted, distance)
        intersection.append(int((a & b).sum()))
        union.append(int((a | b).sum()))
    return intersection, union


def counts(matrix):
    intersection = matrix.diagonal()[:-1]
    union = matrix[:-1].sum(1) + matrix[:, :-1].sum(0) - intersection
    return intersection.tolist(), union.tolist()


def blobs(rng, height, width, num_classes):
    """Label map of smooth regions."""
    coarse = rng.integers(0, num_classes, (-(-height // 7), -(-width // 7))).astype(np.int16)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 300),
    st.sampled_from([0.01, 0.05, 0.2, 0.6]),
)
def test_equals_one_erosion_per_class(seed, height, width, num_classes, ratio):
    rng = np.random.default_rng(seed)
    target = blobs(rng, height, width, num_classes)
    prediction = blobs(rng, height, width, num_classes)
    if seed % 4:  # mostly right, as predictions are
        prediction = np.where(rng.random(target.shape) < 0.95, target, prediction)
    target[blobs(rng, height, width, 5) == 0] = IGNORE
    matrix = boundary_confusion_matrix(
        torch.from_numpy(prediction),
        torch.from_numpy(target),
        num_classes,
        ignore_index=IGNORE,
        dilation_ratio=ratio,
    )
    assert counts(matrix) == reference_counts(prediction, target, num_classes, ratio)


def test_band_by_hand():
    labels = torch.ones(7, 9, dtype=torch.int16)
    labels[:, 5:] = 0
    band = boundary_labels(labels, 2)
    kept = torch.full((7, 9), -1, dtype=torch.int16)
    kept[:2], kept[-2:] = labels[:2], labels[-2:]  # two rows along the image's border
    for columns in (slice(0, 2), slice(3, 7), slice(7, 9)):
        kept[:, columns] = labels[:, columns]
    assert torch.equal(band, kept)


def test_band_width_is_a_share_of_the_diagonal():
    assert band_width(300, 400, 0.02) == 10
    assert band_width(3, 4, 0.02) == 1


def test_label_numbers_do_not_matter():
    """Renumbering the classes renumbers the counts, which differences of labels would not."""
    rng = np.random.default_rng(1)
    target, prediction = (torch.from_numpy(blobs(rng, 60, 80, 6)) for _ in range(2))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    matrix = boundary_confusion_matrix(prediction, target, 6)
    renamed = boundary_confusion_matrix(order[prediction.long()], order[target.long()], 6)
    assert torch.equal(boundary_iou(renamed)[order], boundary_iou(matrix))


def test_perfect_and_accumulated():
    rng = np.random.default_rng(2)
    target = torch.from_numpy(blobs(rng, 50, 50, 3))
    target[10:20, 10:30] = IGNORE
    prediction = target.clone()
    prediction[target == IGNORE] = 1  # what is predicted where nobody looks is free
    matrix = boundary_confusion_matrix(prediction, target, 4, ignore_index=IGNORE)
    assert boundary_iou(matrix)[:3].tolist() == [1, 1, 1]
    assert boundary_iou(matrix)[3].isnan()
    assert boundary_iou(matrix, absent_classes="zero")[3] == 0

    shifted = torch.roll(target, 1, 0)
    added = boundary_confusion_matrix(shifted, target, 4, ignore_index=IGNORE)
    both = boundary_confusion_matrix(shifted, target, 4, ignore_index=IGNORE, out=matrix.clone())
    assert torch.equal(both, matrix + added)
    assert (boundary_iou(both)[:3] < 1).all()


def test_everything_ignored():
    target = torch.full((9, 9), 255, dtype=torch.uint8)
    matrix = boundary_confusion_matrix(torch.zeros_like(target), target, 2, ignore_index=255)
    assert boundary_iou(matrix).isnan().all()


def test_predicted_but_never_labelled_follows_the_rule():
    target = torch.zeros(20, 20, dtype=torch.uint8)
    prediction = target.clone()
    prediction[5:9, 5:9] = 1
    matrix = boundary_confusion_matrix(prediction, target, 2)
    assert boundary_iou(matrix)[1].isnan()
    assert boundary_iou(matrix, absent_classes="nanmean")[1] == 0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_label_types(dtype):
    target = torch.zeros(20, 20, dtype=torch.uint8)
    target[5:15, 5:15] = 1
    expected = boundary_confusion_matrix(target, target, 2)
    assert torch.equal(boundary_confusion_matrix(target.to(dtype), target.to(dtype), 2), expected)
