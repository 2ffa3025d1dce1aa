"""Instances and stuff become one segmentation."""

import torch

from segsuite.modeling.panoptic_merging import merge_panoptic
from segsuite.structures import Boxes, Instances, ROIMasks

SIZE = (10, 20)


def instances(*found):
    """Of (x0, y0, x1, y1, score, class): masks that fill their boxes."""
    boxes = torch.tensor([f[:4] for f in found], dtype=torch.float32).view(-1, 4)
    return Instances(
        SIZE,
        pred_boxes=Boxes(boxes),
        scores=torch.tensor([f[4] for f in found]),
        pred_classes=torch.tensor([f[5] for f in found]).long(),
        pred_masks=ROIMasks(torch.ones(len(found), 4, 4), boxes, SIZE),
    )


def stuff():
    """Things in the left half; stuff 1 in the upper right, 2 in the lower."""
    labels = torch.zeros(SIZE, dtype=torch.uint8)
    labels[:6, 10:], labels[6:, 10:] = 1, 2
    return labels


def merge(*found, stuff_area_limit=1, **options):
    return merge_panoptic(
        instances(*found), stuff(), 3, stuff_area_limit=stuff_area_limit, **options
    )


def test_better_instances_lie_on_top():
    segmentation, segments = merge((0, 0, 8, 4, 0.6, 5), (6, 0, 12, 4, 0.9, 7))
    assert segmentation.dtype == torch.int32
    assert [(s["id"], s["category_id"], s.get("instance_id")) for s in segments] == [
        (1, 7, 1),
        (2, 5, 0),
        (3, 1, None),
        (4, 2, None),
    ]
    assert (segmentation[:4, 6:12] == 1).all() and (segmentation[:4, :6] == 2).all()
    assert (segmentation[4:, :10] == 0).all()  # semantic things are in no segment
    assert segments[2] == {"id": 3, "isthing": False, "category_id": 1, "area": 60 - 2 * 4}
    assert (segmentation[:6, 12:] == 3).all() and (segmentation[6:, 10:] == 4).all()
    assert abs(segments[0]["score"] - 0.9) < 1e-6 and segments[0]["isthing"] is True


def test_covered_instances_are_left_out():
    better = (0, 0, 8, 4, 0.9, 5)
    half, more = (4, 0, 12, 4, 0.8, 6), (3, 0, 11, 4, 0.8, 6)
    assert [s["category_id"] for s in merge(better, half)[1]] == [5, 6, 1, 2]
    assert [s["category_id"] for s in merge(better, more)[1]] == [5, 1, 2]
    assert [s["category_id"] for s in merge(better, more, overlap_threshold=0.7)[1]] == [5, 6, 1, 2]
    # What was left out covers nothing.
    segmentation, _ = merge(better, more)
    assert (segmentation[:4, 8:10] == 0).all()


def test_instances_of_low_score_and_without_pixels():
    empty = instances((0, 0, 8, 4, 0.9, 5), (0, 4, 8, 8, 0.4, 6))
    empty.pred_masks.probabilities[0] = 0
    _, segments = merge_panoptic(empty, stuff(), 3, stuff_area_limit=1)
    assert [s["category_id"] for s in segments] == [1, 2]
    assert merge((0, 0, 8, 4, 0.5, 5))[1][0]["category_id"] == 5


def test_small_stuff_is_left_out():
    segmentation, segments = merge(stuff_area_limit=41)
    assert [(s["id"], s["category_id"]) for s in segments] == [(1, 1)]
    assert (segmentation[6:] == 0).all()
    assert [s["area"] for s in merge(stuff_area_limit=40)[1]] == [60, 40]
    # Stuff below things altogether is no segment, whatever the limit.
    assert len(merge((10, 0, 20, 6, 0.9, 5), stuff_area_limit=0)[1]) == 2


def test_pixels_without_a_label():
    """The label that NaN logits get."""
    labels = torch.full(SIZE, 3, dtype=torch.uint8)
    segmentation, segments = merge_panoptic(instances(), labels, 3, stuff_area_limit=1)
    assert segments == [] and not segmentation.any()
