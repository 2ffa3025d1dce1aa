import sys

import pytest
import torch

from segsuite.config import get_cfg
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
    with pytest.raises(ValueError, match=r"FREEZE_AT is 2;.* set it to 0"):
        build_backbone(cfg)
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    assert list(build_backbone(cfg)(torch.randn(1, 4, 64, 64))) == ["f0", "f1", "f2", "f3", "f4"]


def test_errors():
    with pytest.raises(ValueError, match="Did you mean 'convnext_tiny'"):
        TimmBackbone(name="convnext_tny")
    with pytest.raises(ValueError, match=r"gives no features \[9\] of 'test_resnet'"):
        TimmBackbone(name="test_resnet", out_indices=[9])


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="pip install timm"):
        TimmBackbone(name="test_resnet")
