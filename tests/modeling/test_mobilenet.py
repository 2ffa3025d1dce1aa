import pytest
import torch
import torchvision

from segsuite.config import get_cfg
from segsuite.layers import FrozenBatchNorm2d, ShapeSpec
from segsuite.modeling import build_backbone
from segsuite.modeling.backbone import MobileNetV3

from .backbone_contract import BackboneContract

ALL_LARGE = ["conv1", *(f"block{i}" for i in range(1, 16)), "conv_last"]


class TestMobileNetV3Large(BackboneContract):
    def build(self):
        return MobileNetV3(out_features=ALL_LARGE, width_mult=0.25)


class TestMobileNetV3Small(BackboneContract):
    def build(self):
        features = ["block1", "block3", "block8", "conv_last"]
        return MobileNetV3(size="small", out_features=features, width_mult=0.5, dilated=True)


@pytest.mark.parametrize("dilated, last", [(False, 32), (True, 16)])
@pytest.mark.parametrize(
    "size, depth, ends", [("large", 15, (1, 3, 6, 12)), ("small", 11, (0, 1, 3, 8))]
)
def test_strides_are_those_of_the_table(size, depth, ends, dilated, last):
    names = ["conv1", *(f"block{i}" for i in range(1, depth + 1)), "conv_last"]
    with torch.device("meta"):
        shapes = MobileNetV3(size=size, out_features=names, dilated=dilated).output_shape()
    strides = [shapes[name].stride for name in names]
    expected = [
        next((2 << i for i, end in enumerate(ends) if k <= end), last) for k in range(depth + 2)
    ]
    assert strides == expected


@torch.no_grad()
@pytest.mark.parametrize("size, index", [("large", 17), ("small", 13)])
def test_features_are_torchvisions(size, index):
    peer = getattr(torchvision.models, f"mobilenet_v3_{size}")(weights=None).eval()
    backbone = MobileNetV3(size=size).eval()
    assert len(backbone.features) == index
    backbone.features.load_state_dict(peer.features.state_dict())
    x = torch.randn(1, 3, 65, 97)
    assert torch.equal(backbone(x)["conv_last"], peer.features(x))


def test_unused_layers_are_not_built():
    assert len(MobileNetV3(out_features=["block4"]).features) == 5


def test_freeze():
    backbone = MobileNetV3(width_mult=0.25, freeze_at=2)
    frozen = [not any(p.requires_grad for p in layer.parameters()) for layer in backbone.features]
    assert frozen == [True] * 4 + [False] * 13
    norms = [m for m in backbone.features[3].modules() if isinstance(m, FrozenBatchNorm2d)]
    assert norms and all(m.eps == 1e-3 for m in norms)


def test_errors():
    with pytest.raises(KeyError, match="Did you mean 'block4'"):
        MobileNetV3(out_features=["blok4"])
    with pytest.raises(KeyError, match="sizes of MobileNetV3"):
        MobileNetV3(size="tiny")


def test_from_config():
    cfg = get_cfg()
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [0.0] * 4, [1.0] * 4
    cfg.MODEL.BACKBONE.NAME = "build_mobilenet_backbone"
    cfg.MODEL.MOBILENET.OUT_FEATURES, cfg.MODEL.MOBILENET.DILATED = ["block4", "conv_last"], True
    backbone = build_backbone(cfg)
    assert backbone.features[0][0].weight.shape == (16, 4, 3, 3)
    assert backbone.output_shape() == {"block4": ShapeSpec(40, 8), "conv_last": ShapeSpec(960, 16)}
    cfg.MODEL.MOBILENET.NORM = "GN"
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in build_backbone(cfg).modules())
