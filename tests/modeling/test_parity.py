"""Backbones and heads give the numbers of other implementations for the same weights."""

import pytest
import torch
import torch.nn.functional as F

from segsuite.checkpoint import convert, load_weights
from segsuite.modeling.backbone import ResNet, TimmBackbone
from segsuite.modeling.sem_seg import FCNHead, UNetHead
from tests.helpers import requires_parity
from tests.parity import ParityCase

pytestmark = requires_parity

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
RESNET_FEATURES = ["conv1", "res2", "res3", "res4", "res5"]


def normalized(case, mean, std):
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (mean, std))
    return ((case.image().double() - mean) / std).float()[None]


def with_prefix(state, prefix):
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def resnet_from_torchvision(state):
    """Our names for a state dict of torchvision's, timm's or smp's ResNet."""
    return convert(state).weights


def resnet_os8(**kwargs):
    return ResNet(res4_dilation=2, res5_dilation=4, dilate_first_block=False, **kwargs).eval()


@torch.no_grad()
@pytest.mark.parametrize(
    "name, feature, options",
    [
        ("d2_mask_rcnn_R_50_C4_1x", "res4", {}),
        pytest.param(
            "d2_mask_rcnn_R_50_DC5_1x", "res5", {"res5_dilation": 2}, marks=pytest.mark.slow
        ),
    ],
)
def test_resnet_of_detectron2(name, feature, options):
    case = ParityCase.load(name)
    backbone = ResNet(out_features=[feature], norm="FrozenBN", stride_in_1x1=True, **options)
    backbone.load_state_dict(with_prefix(case.state_dict(), "backbone."))
    image = normalized(case, (103.53, 116.28, 123.675), (1, 1, 1))
    case.check(feature, backbone.eval()(image)[feature])


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("depth", [50, 101])
def test_resnet_of_timm_at_output_stride_8(depth):
    case = ParityCase.load(f"timm_resnet{depth}_os8")
    backbone = resnet_os8(depth=depth, out_features=RESNET_FEATURES)
    backbone.load_state_dict(resnet_from_torchvision(case.state_dict()))
    features = backbone(normalized(case, *IMAGENET))
    for i, name in enumerate(RESNET_FEATURES):
        case.check(f"feature{i}", features[name])


@torch.no_grad()
def test_dilated_fcn_of_torchvision():
    case = ParityCase.load("tv_fcn_resnet50")
    weights = convert(case.state_dict()).weights
    backbone = resnet_os8(depth=50, out_features=["res4", "res5"])
    backbone.load_state_dict(with_prefix(weights, "backbone."))
    image = normalized(case, *IMAGENET)
    features = backbone(image)
    case.check("backbone.aux", features["res4"])
    case.check("backbone.out", features["res5"])
    for output, prefix, feature in [
        ("out", "sem_seg_head", "res5"),
        ("aux", "aux_head", "res4"),
    ]:
        shapes = backbone.output_shape()
        head = FCNHead(
            input_shape=shapes,
            in_features=[feature],
            convs_dim=shapes[feature].channels // 4,
            num_classes=21,
        ).eval()
        head.load_state_dict(with_prefix(weights, prefix + "."))
        logits = F.interpolate(head(features), image.shape[-2:], mode="bilinear")
        case.check(output, logits)


@torch.no_grad()
def test_unet_of_segmentation_models():
    """Up to the logits, with a last convolution of 3x3 pixels."""
    case = ParityCase.load("smp_unet_resnet34")
    weights = convert(case.state_dict()).weights
    backbone = ResNet(depth=34, out_features=RESNET_FEATURES).eval()
    backbone.load_state_dict(with_prefix(weights, "backbone."))
    features = backbone(normalized(case, *IMAGENET))
    for i, name in enumerate(RESNET_FEATURES):
        case.check(f"encoder{i + 1}", features[name])
    head = UNetHead(
        input_shape=backbone.output_shape(),
        in_features=RESNET_FEATURES,
        decoder_channels=[256, 128, 64, 32, 16],
        num_classes=21,
        predictor_kernel_size=3,
    ).eval()
    head.load_state_dict(with_prefix(weights, "sem_seg_head."))
    case.check("logits", head(features))


@torch.no_grad()
@pytest.mark.parametrize("name", ["timm_convnext_tiny", "timm_swin_tiny"])
def test_backbones_of_timm(tmp_path, name):
    """Published names, of the classifier, as MODEL.WEIGHTS of a backbone taken apart by timm."""
    pytest.importorskip("timm")
    case = ParityCase.load(name)
    torch.save(case.state_dict(), tmp_path / "weights.pth")
    backbone = TimmBackbone(name=case.about["constructor"]["args"][0]).eval()
    report = load_weights(backbone, tmp_path / "weights.pth")
    assert report.missing == []
    assert all(key.startswith(("head.", "norm.")) for key in report.unexpected)
    for i, feature in enumerate(backbone(normalized(case, *IMAGENET)).values()):
        nhwc = feature.permute(0, 2, 3, 1) if "swin" in name else feature
        case.check(f"feature{i}", nhwc)
