"""Instances of a batch as padded tensors, and as the sequence of each image's."""

import pytest
import torch

from segsuite.structures import Boxes, InstanceBatch, Instances, PolygonMasks, first_places

SIZES = [(10, 20), (30, 40), (50, 60)]


def batch(**late_fields):
    """Places 0 and 2 of the first image, none of the second, all of the third."""
    valid = torch.tensor([[True, False, True], [False] * 3, [True] * 3])
    scores = torch.arange(9.0).view(3, 3)
    boxes = scores[..., None].expand(-1, -1, 4)
    return InstanceBatch(SIZES, valid, {"scores": scores, "pred_boxes": boxes}, late_fields)


def test_a_sequence_of_instances():
    instances = batch()
    assert len(instances) == 3 and [x.image_size for x in instances] == SIZES
    assert [x.scores.tolist() for x in instances] == [[0, 2], [], [6, 7, 8]]
    assert isinstance(instances[2].pred_boxes, Boxes)
    assert instances[2].pred_boxes.tensor[:, 3].tolist() == [6, 7, 8]
    assert [len(x) for x in instances[1:]] == [0, 3] and len(instances[-1]) == 3
    assert torch.equal(instances.sizes, torch.tensor(SIZES).float())


def test_late_fields_are_computed_of_instances_alone():
    asked = []

    def masks(places):
        asked.append(places.tolist())
        return places[:, None, None].expand(-1, 2, 2)

    instances = batch(pred_masks=masks)
    assert asked == []
    assert instances[2].pred_masks[:, 0, 0].tolist() == [6, 7, 8]
    assert len(instances[1].pred_masks) == 0
    assert asked == [[0, 2, 6, 7, 8]]


def test_of_lists():
    """Padded by zeros; what was given is what the sequence has."""
    masks = PolygonMasks([[[0, 0, 4, 0, 4, 4]]])
    one = Instances(
        SIZES[0], gt_boxes=Boxes([[1, 2, 3, 4]]), gt_classes=torch.tensor([7]), gt_masks=masks
    )
    none = Instances(SIZES[1], gt_boxes=Boxes([]), gt_classes=torch.zeros(0, dtype=torch.int64))
    padded = InstanceBatch.of([one, none], "gt_boxes", "gt_classes")
    assert padded.valid.tolist() == [[True], [False]]
    assert padded.fields["gt_boxes"].tolist() == [[[1, 2, 3, 4]], [[0, 0, 0, 0]]]
    assert padded.fields["gt_classes"].tolist() == [[7], [0]]
    assert padded[0] is one and padded[1] is none
    assert InstanceBatch.of(padded, "gt_boxes") is padded
    assert InstanceBatch.of([none], "gt_boxes").fields["gt_boxes"].shape == (1, 1, 4)


def test_trimmed():
    """Where looking is free, places that no image uses are dropped, all but one."""
    wide = batch()
    wide.valid[2, 2] = wide.valid[0, 2] = False
    narrow = wide.trimmed()
    assert narrow.valid.shape == (3, 2) and narrow.fields["pred_boxes"].shape == (3, 2, 4)
    assert [x.scores.tolist() for x in narrow] == [[0], [], [6, 7]]
    wide.valid[:] = False
    assert wide.trimmed().valid.shape == (3, 1)


@pytest.mark.parametrize("length", [0, 1, 3])
def test_first_places(length):
    places = first_places(torch.tensor([0, 1, 3]), length)
    assert places.shape == (3, length)
    assert places.sum(1).tolist() == [0, min(1, length), length]
