import pytest
import torch
from torch import nn

from segsuite.config import get_cfg
from segsuite.layers import FrozenBatchNorm2d, ShapeSpec
from segsuite.modeling import build_backbone
from segsuite.modeling.backbone import DRN

from .backbone_contract import BackboneContract

LAYERS = [f"layer{i}" for i in range(1, 9)]


class TestDRNC26(BackboneContract):
    def build(self):
        return DRN(variant="C-26", out_features=LAYERS, base_channels=2)


class TestDRNC58(BackboneContract):
    def build(self):
        return DRN(variant="C-58", out_features=LAYERS, base_channels=2)


class TestDRND54(BackboneContract):
    def build(self):
        return DRN(variant="D-54", out_features=LAYERS, base_channels=2)


@pytest.mark.parametrize(
    "variant, parameters",
    [
        ("C-26", 21.13),
        ("C-42", 31.24),
        ("C-58", 40.54),  # 41.6 with the shortcut of layer7 that theirs has and does not use
        ("D-22", 16.39),
        ("D-38", 26.50),
        ("D-54", 35.81),
        ("D-105", 54.80),
    ],
)
def test_drn_has_the_papers_size(variant, parameters):
    """In millions, with the classifier."""
    with torch.device("meta"):
        backbone = DRN(variant=variant)
    count = sum(p.numel() for p in backbone.parameters()) + 513 * 1000
    assert count / 1e6 == pytest.approx(parameters, abs=0.01)


def test_names_are_those_of_the_published_checkpoints():
    keys = DRN(variant="C-26", base_channels=2).state_dict()
    assert {"conv1.weight", "bn1.bias", "layer1.0.conv2.weight", "layer8.0.bn2.weight"} <= set(keys)
    assert keys["layer3.0.downsample.0.weight"].shape == (8, 4, 1, 1)
    keys = DRN(variant="D-54", base_channels=2).state_dict()
    assert {"layer0.0.weight", "layer1.1.running_mean", "layer8.0.weight"} <= set(keys)
    assert keys["layer5.0.conv3.weight"].shape == (128, 32, 1, 1)


def test_degridding_layers_have_no_shortcut_and_less_dilation():
    backbone = DRN(variant="C-26", base_channels=2)
    assert [block.residual for block in (backbone.layer6[0], backbone.layer7[0])] == [True, False]
    layers = (backbone.layer4, backbone.layer5, backbone.layer6, backbone.layer7, backbone.layer8)
    assert [layer[0].conv1.dilation[0] for layer in layers] == [1, 2, 4, 2, 1]


@pytest.mark.parametrize("variant, first", [("C-26", ["conv1", "bn1"]), ("D-22", ["layer0"])])
def test_freeze(variant, first):
    for freeze_at, frozen in [(0, []), (1, first), (3, [*first, "layer1", "layer2"])]:
        backbone = DRN(variant=variant, base_channels=2, freeze_at=freeze_at)
        for name, child in backbone.named_children():
            assert all(p.requires_grad is (name not in frozen) for p in child.parameters()), name
            norms = FrozenBatchNorm2d if name in frozen else nn.BatchNorm2d
            assert name == "conv1" or any(isinstance(m, norms) for m in child.modules()), name


def test_errors():
    with pytest.raises(KeyError, match="Did you mean 'D-22'"):
        DRN(variant="D-20")
    with pytest.raises(KeyError, match="features of DRN"):
        DRN(out_features=["layer9"])


def test_from_config():
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.PIXEL_MEAN = "build_drn_backbone", [0.0]
    cfg.MODEL.DRN.BASE_CHANNELS, cfg.MODEL.DRN.OUT_FEATURES = 4, ["layer4"]
    backbone = build_backbone(cfg)
    assert backbone.layer0[0].weight.shape == (4, 1, 7, 7) and not hasattr(backbone, "layer5")
    assert backbone.output_shape() == {"layer4": ShapeSpec(32, 8)}
