"""HRNet, SegFormer and UPerNet give the numbers of other implementations for the same weights."""

import re

import pytest
import torch
import torch.nn.functional as F

from segsuite.modeling.backbone import HRNet, MixTransformer, ResNet
from segsuite.modeling.sem_seg import SegFormerHead, UPerNetHead
from tests.helpers import requires_parity
from tests.parity import ParityCase

from .test_parity import IMAGENET, normalized, resnet_from_torchvision, with_prefix

pytestmark = requires_parity
FEATURES = ["res2", "res3", "res4", "res5"]


def pairs_to_modules(key, where):
    """``X.0.weight`` -> ``X.weight`` and ``X.1.weight`` -> ``X.norm.weight`` for X like `where`."""
    norm = ("", ".norm")
    return re.sub(rf"({where})\.([01])\.(\w+)$", lambda m: f"{m[1]}{norm[int(m[2])]}.{m[3]}", key)


def upsampled_as_there(logits, image):
    """segmentation_models aligns the corners in the last resize; here nothing does."""
    return F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=True)


def hrnet_from_timm(state):
    """Our names for a state dict of timm's or the authors' HRNet, without the classifier."""
    renamed = {}
    for key, value in state.items():
        key = re.sub(r"downsample\.([01])", r"shortcut.\1", key)
        key = re.sub(r"bn(\d)", r"conv\1.norm", key)
        # A convolution and its norm are 0 and 1 of a sequence there, and one module here.
        key = re.sub(r"(transition\d\.\d)\.0(?=\.\d)", r"\1", key)
        key = pairs_to_modules(key, r"shortcut|transition\d\.\d|fuse_layers[.\d]*?")
        renamed[key] = value
    classifier = ("incre_modules", "downsamp_modules", "final_layer", "classifier")
    return {k: v for k, v in renamed.items() if not k.startswith(classifier)}


@torch.no_grad()
def test_hrnet_of_timm():
    case = ParityCase.load("timm_hrnet_w18")
    backbone = HRNet(width=18, out_features=["conv1", *FEATURES]).eval()
    backbone.load_state_dict(hrnet_from_timm(case.state_dict()))
    features = backbone(normalized(case, *IMAGENET))
    for i, name in enumerate(["conv1", *FEATURES]):
        case.check(f"feature{i}", features[name])


@torch.no_grad()
def test_segformer_of_segmentation_models():
    case = ParityCase.load("smp_segformer_mit_b0")
    state = case.state_dict()
    backbone = MixTransformer(variant="b0").eval()
    backbone.load_state_dict(with_prefix(state, "encoder."))
    image = normalized(case, *IMAGENET)
    features = backbone(image)
    for i, name in enumerate(FEATURES):
        case.check(f"encoder{i + 2}", features[name])
    head = SegFormerHead(
        input_shape=backbone.output_shape(), in_features=FEATURES, num_classes=21
    ).eval()
    renamed = {}
    for key, value in state.items():
        key = re.sub(
            r"decoder\.mlp_stage\.(\d)\.linear", lambda m: f"linear_c{4 - int(m[1])}.proj", key
        )
        key = key.replace("decoder.fuse_stage.0", "linear_fuse")
        key = key.replace("decoder.fuse_stage.1", "linear_fuse.norm")
        renamed[key.replace("segmentation_head.0", "linear_pred")] = value
    head.load_state_dict({k: v for k, v in renamed.items() if k.startswith("linear")})
    logits = head(features)
    case.check("logits", upsampled_as_there(logits, image))


@torch.no_grad()
@pytest.mark.slow
def test_upernet_of_segmentation_models():
    """Its layer norms on the backbone's features are an option here; all else is the same."""
    case = ParityCase.load("smp_upernet_resnet50")
    state = case.state_dict()
    backbone = ResNet(depth=50, out_features=FEATURES).eval()
    backbone.load_state_dict(resnet_from_torchvision(with_prefix(state, "encoder.")))
    image = normalized(case, *IMAGENET)
    head = UPerNetHead(
        input_shape=backbone.output_shape(),
        in_features=FEATURES,
        num_classes=21,
        convs_dim=256,
        feature_norm="LN",
    ).eval()
    renamed = {}
    for key, value in state.items():
        key = key.removeprefix("decoder.")
        key = re.sub(r"psp\.blocks\.(\d)\.1", r"pooling.convs.\1", key)
        key = re.sub(r"^psp\.out_conv", "pooling_conv", key)
        # There from the coarsest on, here from the finest.
        key = re.sub(
            r"fpn_lateral_blocks\.(\d)\.conv_norm_relu",
            lambda m: f"lateral_convs.{2 - int(m[1])}",
            key,
        )
        key = re.sub(r"fpn_conv_blocks\.(\d)", lambda m: f"output_convs.{2 - int(m[1])}", key)
        key = key.replace("fusion_block", "fusion_conv")
        key = key.replace("segmentation_head.0", "predictor")
        key = pairs_to_modules(key, ".*conv.*?")
        renamed[key] = value
    own = ("feature_norms", "pooling", "lateral", "output", "fusion", "predictor")
    head.load_state_dict({k: v for k, v in renamed.items() if k.startswith(own)})
    logits = head(backbone(image))
    case.check("logits", upsampled_as_there(logits, image))
