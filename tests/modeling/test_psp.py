import pytest
import torch

from segsuite.checkpoint import convert
from segsuite.layers import ShapeSpec
from segsuite.modeling.backbone import ResNet
from segsuite.modeling.sem_seg import PSPHead
from tests.helpers import requires_parity
from tests.parity import ParityCase

from .head_contract import HeadContract
from .test_parity import IMAGENET, normalized, with_prefix
from .test_parity_modern import upsampled_as_there


class TestPSPHead(HeadContract):
    name = "PSPHead"
    in_features = ("res4",)


class TestPSPHeadWithBatchNorm(HeadContract):
    """On a grid of one cell too, with one image."""

    name = "PSPHead"
    in_features = ("res4",)
    options = {"MODEL.SEM_SEG_HEAD.NORM": "BN", "MODEL.SEM_SEG_HEAD.POOL_SCALES": [1, 2]}


def test_psp_reads_one_feature():
    shapes = {"res4": ShapeSpec(8, 16), "res5": ShapeSpec(8, 32)}
    with pytest.raises(ValueError, match="one feature"):
        PSPHead(input_shape=shapes, in_features=["res4", "res5"], num_classes=2)


@requires_parity
@torch.no_grad()
def test_pspnet_of_segmentation_models():
    """Up to the logits, with a last convolution of 3x3 pixels. The one before has 1x1 there, which
    is the centre of ours, and reads the grids before the feature."""
    case = ParityCase.load("smp_pspnet_resnet50")
    weights = convert(case.state_dict()).weights
    backbone = ResNet(depth=50, out_features=["conv1", "res2", "res3"]).eval()
    encoder = with_prefix(weights, "backbone.")
    backbone.load_state_dict({k: v for k, v in encoder.items() if k in backbone.state_dict()})
    image = normalized(case, *IMAGENET)
    features = backbone(image)
    for i, feature in enumerate(features.values()):
        case.check(f"encoder{i + 1}", feature)
    options = {"num_classes": 21, "predictor_kernel_size": 3}
    head = PSPHead(input_shape=backbone.output_shape(), in_features=["res3"], **options).eval()
    head.load_state_dict(with_prefix(weights, "sem_seg_head."))
    case.check("logits", upsampled_as_there(head(features), image))
