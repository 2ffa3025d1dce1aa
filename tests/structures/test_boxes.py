import pytest
import torch
import torchvision

from segsuite.structures import Boxes, clip_boxes, iou_matrix, pairwise_iou


def test_from_lists_and_nothing():
    assert Boxes([[0, 1, 2, 5]]).tensor.dtype == torch.float32
    assert Boxes([]).tensor.shape == (0, 4)
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        Boxes(torch.zeros(4))


def test_area_and_nonempty():
    boxes = Boxes([[0, 1, 2, 5], [3, 3, 3, 9], [4, 4, 2, 2]])
    assert boxes.area().tolist() == [8, 0, 4]
    assert boxes.nonempty().tolist() == [True, False, False]
    assert boxes.nonempty(2.0).tolist() == [False, False, False]


def test_clip_and_scale():
    boxes = Boxes([[-3.0, -1.0, 12.0, 5.5]])
    boxes.clip((5, 10))
    assert boxes.tensor.tolist() == [[0, 0, 10, 5]]
    boxes.scale(2, 0.5)
    assert boxes.tensor.tolist() == [[0, 0, 20, 2.5]]
    assert boxes.get_centers().tolist() == [[10, 1.25]]


def test_indexing():
    boxes = Boxes(torch.arange(12.0).view(3, 4))
    assert len(boxes[1]) == 1
    assert boxes[torch.tensor([True, False, True])].tensor[:, 0].tolist() == [0, 8]
    assert torch.equal(Boxes.cat([boxes[:1], boxes[1:]]).tensor, boxes.tensor)
    assert len(Boxes.cat([])) == 0
    assert [box.tolist() for box in boxes[:1]] == [[0, 1, 2, 3]]


def test_pairwise_iou():
    a = Boxes([[0, 0, 4, 4], [1, 1, 1, 1]])
    b = Boxes([[2, 0, 6, 4], [8, 8, 9, 9], [1, 1, 1, 1]])
    assert torch.allclose(pairwise_iou(a, b), torch.tensor([[1 / 3, 0, 0], [0, 0, 0]]))
    assert pairwise_iou(a, Boxes([])).shape == (2, 0)


def test_overlaps_of_several_images():
    """Leading axes broadcast, and numbers are torchvision's to the last digit."""
    torch.manual_seed(0)
    low = torch.rand(3, 40, 2) * 50
    boxes = torch.cat([low, low + torch.rand(3, 40, 2) * 30], dim=2)
    boxes[0, :5, 2:] = boxes[0, :5, :2]
    few, many = boxes[:, :4], boxes[0]
    found = iou_matrix(few, many)
    assert found.shape == (3, 4, 40)
    for of_image, a in zip(found, few, strict=True):
        assert torch.equal(of_image, torchvision.ops.box_iou(a, many).nan_to_num(0))
    assert iou_matrix(few.half(), many.half()).dtype == torch.float32
    assert iou_matrix(few[:, :0], many).shape == (3, 0, 40)


def test_clipping_to_images_of_several_sizes():
    boxes = torch.tensor([[-1.0, -2, 30, 40], [5, 6, 7, 8]]).expand(2, 2, 4)
    sizes = [(10, 20), (35, 25)]
    for clipped, size in zip(clip_boxes(boxes, torch.tensor(sizes)), sizes, strict=True):
        assert torch.equal(clipped, clip_boxes(boxes[0], size))
