import pytest
import torch
from torch import nn

from segsuite.config import get_cfg
from segsuite.layers import FrozenBatchNorm2d, ShapeSpec
from segsuite.modeling import build_backbone
from segsuite.modeling.backbone import VGG
from tests.helpers import requires_parity
from tests.parity import ParityCase

from .backbone_contract import BackboneContract
from .test_parity import IMAGENET, normalized

FEATURES = ["conv1", "conv2", "conv3", "conv4", "conv5", "pool5"]


class TestVGG11(BackboneContract):
    def build(self):
        return VGG(depth=11, out_features=FEATURES, base_channels=8, norm="BN")


class TestFullyConvolutionalVGG(BackboneContract):
    def build(self):
        torch.manual_seed(0)
        features = ["pool3", "pool4", "fc7"]
        return VGG(depth=11, out_features=features, base_channels=8, fc_channels=16, fc_dropout=0.0)


@pytest.mark.parametrize(
    "depth, norm, parameters",
    [(11, "", 132.86), (13, "", 133.05), (16, "", 138.36), (19, "", 143.67), (16, "BN", 138.37)],
)
def test_vgg_has_the_papers_size(depth, norm, parameters):
    """In millions, with the classifier; its first two layers are as large as here."""
    with torch.device("meta"):
        backbone = VGG(depth=depth, norm=norm, out_features=["fc7"])
    count = sum(p.numel() for p in backbone.parameters()) + 4097 * 1000
    assert count / 1e6 == pytest.approx(parameters, abs=0.006)


@requires_parity
@pytest.mark.slow
@torch.no_grad()
def test_vgg_of_timm():
    """A published checkpoint's names fit as they are."""
    case = ParityCase.load("timm_vgg16_bn")
    backbone = VGG(depth=16, norm="BN", out_features=FEATURES).eval()
    result = backbone.load_state_dict(case.state_dict(), strict=False)
    assert not result.missing_keys
    assert {key.partition(".")[0] for key in result.unexpected_keys} == {"pre_logits", "head"}
    for i, feature in enumerate(backbone(normalized(case, *IMAGENET)).values()):
        case.check(f"feature{i}", feature)


def test_layers_behind_the_last_feature_are_not_built():
    backbone = VGG(depth=11, base_channels=8, out_features=["pool3"])
    assert len(backbone.features) == 11 and backbone.fc6 is None
    assert backbone.output_shape() == {"pool3": ShapeSpec(32, 8)}


def test_freeze():
    backbone = VGG(depth=13, base_channels=8, norm="BN", freeze_at=2)
    norms = [m for m in backbone.features if isinstance(m, (nn.BatchNorm2d, FrozenBatchNorm2d))]
    frozen = [isinstance(m, FrozenBatchNorm2d) for m in norms]
    assert frozen == [True] * 4 + [False] * 6
    convs = [m for m in backbone.features if isinstance(m, nn.Conv2d)]
    assert [not m.weight.requires_grad for m in convs] == frozen


def test_errors():
    with pytest.raises(KeyError, match="Did you mean 'conv5'"):
        VGG(out_features=["conv6"])
    with pytest.raises(KeyError, match="depths of VGG"):
        VGG(depth=17)


def test_from_config():
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.PIXEL_MEAN = "build_vgg_backbone", [0.0] * 5
    cfg.MODEL.VGG.BASE_CHANNELS, cfg.MODEL.VGG.DEPTH = 4, 11
    backbone = build_backbone(cfg)
    assert backbone.features[0].weight.shape == (4, 5, 3, 3)
    assert not backbone.features[0].weight.requires_grad  # FREEZE_AT is 2
