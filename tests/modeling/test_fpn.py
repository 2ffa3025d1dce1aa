import pytest
import torch

from segsuite.config import get_cfg
from segsuite.layers import ShapeSpec
from segsuite.modeling import build_backbone
from segsuite.modeling.backbone import FPN, LastLevelMaxPool, ResNet

from .backbone_contract import BackboneContract

LEVELS = ["res2", "res3", "res4", "res5"]


def small(features=LEVELS, **kwargs):
    bottom_up = ResNet(depth=18, out_features=features, stem_out_channels=8, res2_out_channels=8)
    return FPN(**{"bottom_up": bottom_up, "in_features": features, "out_channels": 16, **kwargs})


class TestFPN(BackboneContract):
    def build(self):
        return small(top_block=LastLevelMaxPool())


class TestAveragingFPNWithNorms(BackboneContract):
    def build(self):
        return small(["res3", "res4"], norm="GN", fuse_type="avg")


def test_levels():
    shapes = small(top_block=LastLevelMaxPool()).output_shape()
    assert shapes == {f"p{k}": ShapeSpec(16, 2**k) for k in range(2, 7)}
    fpn = small(in_features=["res3", "res4"])
    assert list(fpn.output_shape()) == ["p3", "p4"] and fpn.size_divisibility == 16


def test_fusion():
    """Each level sees what is above it, by the factor that the fuse type says."""
    x = torch.randn(1, 3, 64, 64)
    torch.manual_seed(0)
    added = small().eval()
    averaged = small(fuse_type="avg").eval()
    averaged.load_state_dict(added.state_dict())
    lateral = {k: getattr(added, f"fpn_lateral{k}") for k in (4, 5)}
    features = added.bottom_up(x)
    top, here = lateral[5](features["res5"]), lateral[4](features["res4"])
    total = here + top.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(added(x)["p4"], added.fpn_output4(total))
    torch.testing.assert_close(averaged(x)["p4"], averaged.fpn_output4(total / 2))


def test_errors():
    with pytest.raises(KeyError, match="Did you mean 'res5'"):
        small(in_features=["res6"])
    with pytest.raises(KeyError, match="fuse types"):
        small(fuse_type="max")
    with pytest.raises(ValueError, match=r"strides of .*\['res2', 'res4'\] are \[4, 16\]"):
        small(in_features=["res2", "res4"])


def test_from_config():
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = LEVELS
    cfg.MODEL.FPN.NORM = "GN"
    with torch.device("meta"):
        backbone = build_backbone(cfg)
    assert list(backbone.output_shape()) == ["p2", "p3", "p4", "p5", "p6"]
    assert backbone.fpn_lateral2.bias is None and backbone.fpn_lateral2.norm is not None
    assert not any(p.requires_grad for p in backbone.bottom_up.stem.parameters())
