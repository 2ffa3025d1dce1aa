"""Backbones and heads give the numbers of other implementations for the same weights."""

import re

import pytest
import torch
import torch.nn.functional as F

from segsuite.modeling.backbone import ResNet
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
    """Detectron2's names for a state dict of torchvision's, timm's or smp's ResNet."""
    renamed = {}
    for key, value in state.items():
        key = re.sub(r"^layer(\d)", lambda m: f"res{int(m[1]) + 1}", key)
        key = re.sub(r"^(conv1|bn1)\.", r"stem.\1.", key)
        key = key.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        renamed[re.sub(r"bn(\d)", r"conv\1.norm", key)] = value
    return {k: v for k, v in renamed.items() if not k.startswith("fc.")}


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
    state = case.state_dict()
    backbone = resnet_os8(depth=50, out_features=["res4", "res5"])
    backbone.load_state_dict(resnet_from_torchvision(with_prefix(state, "backbone.")))
    image = normalized(case, *IMAGENET)
    features = backbone(image)
    case.check("backbone.aux", features["res4"])
    case.check("backbone.out", features["res5"])
    for output, prefix, feature in [
        ("out", "classifier", "res5"),
        ("aux", "aux_classifier", "res4"),
    ]:
        shapes = backbone.output_shape()
        head = FCNHead(
            input_shape=shapes,
            in_features=[feature],
            convs_dim=shapes[feature].channels // 4,
            num_classes=21,
        ).eval()
        names = {"0": "conv", "1": "conv.norm", "4": "predictor"}
        weights = with_prefix(state, prefix + ".")
        head.load_state_dict({names[k[0]] + k[1:]: v for k, v in weights.items()})
        logits = F.interpolate(head(features), image.shape[-2:], mode="bilinear")
        case.check(output, logits)


@torch.no_grad()
def test_unet_of_segmentation_models():
    """Up to the last convolution, which has 3x3 pixels there and 1x1 here, as in the paper."""
    case = ParityCase.load("smp_unet_resnet34")
    state = case.state_dict()
    backbone = ResNet(depth=34, out_features=RESNET_FEATURES).eval()
    backbone.load_state_dict(resnet_from_torchvision(with_prefix(state, "encoder.")))
    features = backbone(normalized(case, *IMAGENET))
    for i, name in enumerate(RESNET_FEATURES):
        case.check(f"encoder{i + 1}", features[name])
    head = UNetHead(
        input_shape=backbone.output_shape(),
        in_features=RESNET_FEATURES,
        decoder_channels=[256, 128, 64, 32, 16],
        num_classes=21,
    ).eval()
    weights = {}
    for key, value in with_prefix(state, "decoder.").items():
        layer, index, leaf = re.fullmatch(r"(blocks\.\d\.conv\d)\.(\d)\.(.*)", key).groups()
        weights[f"{layer}.{leaf}" if index == "0" else f"{layer}.norm.{leaf}"] = value
    head.predictor = torch.nn.Identity()
    head.load_state_dict(weights)
    case.check("decoder", head(features))
