"""HRNet, SegFormer and UPerNet give the numbers of other implementations for the same weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segsuite.checkpoint import convert
from segsuite.modeling.backbone import HRNet, MixTransformer, ResNet
from segsuite.modeling.sem_seg import SegFormerHead, UPerNetHead
from tests.helpers import requires_parity
from tests.parity import ParityCase

from .test_parity import IMAGENET, normalized

pytestmark = requires_parity
FEATURES = ["res2", "res3", "res4", "res5"]


def upsampled_as_there(logits, image):
    """segmentation_models aligns the corners in the last resize; here nothing does."""
    return F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=True)


def load(state, source, **modules):
    """The modules of a model with the weights of a peer's state dict, which all find a place."""
    model = nn.ModuleDict(modules).eval()
    conversion = convert(state, model.state_dict().keys())
    assert conversion.source == source
    model.load_state_dict(conversion.weights)
    return model


@torch.no_grad()
def test_hrnet_of_timm():
    case = ParityCase.load("timm_hrnet_w18")
    backbone = HRNet(width=18, out_features=["conv1", *FEATURES])
    load(case.state_dict(), "HRNet", backbone=backbone)
    features = backbone(normalized(case, *IMAGENET))
    for i, name in enumerate(["conv1", *FEATURES]):
        case.check(f"feature{i}", features[name])


@torch.no_grad()
def test_segformer_of_segmentation_models():
    case = ParityCase.load("smp_segformer_mit_b0")
    backbone = MixTransformer(variant="b0")
    shapes = backbone.output_shape()
    head = SegFormerHead(input_shape=shapes, in_features=FEATURES, num_classes=21)
    source = "segmentation_models.pytorch SegFormer"
    load(case.state_dict(), source, backbone=backbone, sem_seg_head=head)
    image = normalized(case, *IMAGENET)
    features = backbone(image)
    for i, name in enumerate(FEATURES):
        case.check(f"encoder{i + 2}", features[name])
    case.check("logits", upsampled_as_there(head(features), image))


@torch.no_grad()
@pytest.mark.slow
def test_upernet_of_segmentation_models():
    """Its layer norms on the backbone's features are an option here; all else is the same."""
    case = ParityCase.load("smp_upernet_resnet50")
    backbone = ResNet(depth=50, out_features=FEATURES)
    options = {"convs_dim": 256, "feature_norm": "LN", "num_classes": 21}
    shapes = backbone.output_shape()
    head = UPerNetHead(input_shape=shapes, in_features=FEATURES, **options)
    source = "segmentation_models.pytorch UPerNet"
    load(case.state_dict(), source, backbone=backbone, sem_seg_head=head)
    image = normalized(case, *IMAGENET)
    case.check("logits", upsampled_as_there(head(backbone(image)), image))
