import pytest
import torch

from segsuite.modeling.anchor_generator import DefaultAnchorGenerator


def test_anchors_of_a_map():
    generator = DefaultAnchorGenerator(
        sizes=[[32, 64]], aspect_ratios=[[0.25, 4.0]], strides=[8], offset=0.5
    )
    (anchors,) = generator([torch.zeros(2, 5, 2, 3)])
    assert generator.num_anchors == [4] and len(anchors) == 2 * 3 * 4
    assert anchors.tensor[0].tolist() == [4 - 32, 4 - 8, 4 + 32, 4 + 8]
    assert anchors.tensor[1].tolist() == [4 - 8, 4 - 32, 4 + 8, 4 + 32]
    assert anchors.get_centers()[4].tolist() == [12, 4]  # next in the row
    assert anchors.get_centers()[12].tolist() == [4, 12]  # first of the next row


def test_one_list_serves_all_features():
    generator = DefaultAnchorGenerator(
        sizes=[[32], [64]], aspect_ratios=[0.5, 1.0, 2.0], strides=[4, 8]
    )
    anchors = generator([torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)])
    assert generator.num_anchors == [3, 3] and [len(a) for a in anchors] == [48, 12]
    for of_level, size in zip(anchors, (32, 64), strict=True):
        torch.testing.assert_close(of_level.area(), torch.full((len(of_level),), size**2.0))
    assert anchors[0].get_centers()[0].tolist() == [0, 0]
    assert generator.state_dict() == {}


def test_errors():
    with pytest.raises(ValueError, match="SIZES has 2 lists for 3 features"):
        DefaultAnchorGenerator(sizes=[[1], [2]], aspect_ratios=[[1]], strides=[4, 8, 16])
    with pytest.raises(ValueError, match="OFFSET is 1"):
        DefaultAnchorGenerator(sizes=[[1]], aspect_ratios=[[1]], strides=[4], offset=1)
