import sys

import pytest
import torch

from segsuite.config import get_cfg
from segsuite.errors import ConfigError
from segsuite.layers import ShapeSpec
from segsuite.modeling import build_backbone
from segsuite.modeling.backbone import TimmBackbone

from .backbone_contract import BackboneContract

pytest.importorskip("timm")


class TestConvNeXt(BackboneContract):
    def build(self):
        return TimmBackbone(name="test_convnext")


class TestEfficientNet(BackboneContract):
    def build(self):
        return TimmBackbone(name="test_efficientnet")


def test_swin_works_on_nhwc_and_gives_nchw_at_any_size():
    backbone = TimmBackbone(name="swin_tiny_patch4_window7_224", out_indices=[0, 2]).eval()
    assert backbone.output_shape() == {"f0": ShapeSpec(96, 4), "f2": ShapeSpec(384, 16)}
    assert backbone.size_divisibility == 16
    with torch.no_grad():
        features = backbone(torch.randn(1, 3, 96, 160))
    assert [f.shape for f in features.values()] == [(1, 96, 24, 40), (1, 384, 6, 10)]


def test_from_config():
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_timm_backbone"
    cfg.MODEL.TIMM.NAME = "test_resnet"
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [0.0] * 4, [1.0] * 4
    backbone = build_backbone(cfg)
    assert list(backbone(torch.randn(1, 4, 64, 64))) == ["f0", "f1", "f2", "f3", "f4"]
    trained = {n.split(".")[1] for n, p in backbone.named_parameters() if p.requires_grad}
    assert trained == {"layer2", "layer3", "layer4"}


@pytest.mark.parametrize(
    "name, first_stages",
    [
        ("test_convnext", [["net.stem_0", "net.stem_1"], ["net.stages_0"]]),
        ("test_resnet", [["net.conv1", "net.bn1", "net.act1"], ["net.maxpool", "net.layer1"]]),
        ("test_efficientnet", [["net.conv_stem", "net.bn1", "net.blocks.0"], ["net.blocks.1"]]),
    ],
)
def test_stages(name, first_stages):
    assert TimmBackbone(name=name).stages()[:2] == first_stages
    assert TimmBackbone(name=name, out_indices=[0, 1]).stages()[:2] == first_stages


def test_models_without_stages_are_not_frozen_in_part():
    with pytest.raises(ConfigError, match=r"FREEZE_AT is 1; TimmBackbone has no stages"):
        TimmBackbone(name="test_vit", freeze_at=1)


def test_errors():
    with pytest.raises(ValueError, match="Did you mean 'convnext_tiny'"):
        TimmBackbone(name="convnext_tny")
    with pytest.raises(ValueError, match=r"gives no features \[9\] of 'test_resnet'"):
        TimmBackbone(name="test_resnet", out_indices=[9])


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="pip install timm"):
        TimmBackbone(name="test_resnet")
