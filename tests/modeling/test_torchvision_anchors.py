import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from segsuite.modeling.anchor_generator import TorchvisionAnchorGenerator


def test_anchors_are_torchvisions():
    """On 416x544 pixels, into which 7x9 cells of the last level go 59x60 times."""
    sizes, ratios = ((32,), (64,), (128,)), ((0.5, 1.0, 2.0),) * 3
    features = [torch.zeros(1, 1, *size) for size in ((13, 17), (7, 9), (4, 5))]
    peer = AnchorGenerator(sizes, ratios)
    (expected,) = peer(ImageList(torch.zeros(1, 3, 416, 544), [(400, 533)]), features)
    ours = TorchvisionAnchorGenerator(sizes=sizes, aspect_ratios=ratios, strides=[32, 64, 128])
    anchors = torch.cat([boxes.tensor for boxes in ours(features)])
    assert torch.equal(anchors, expected)
