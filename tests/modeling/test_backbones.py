import pytest
import torch
from torch import nn

from segsuite.config import get_cfg
from segsuite.layers import FrozenBatchNorm2d, ShapeSpec
from segsuite.modeling import build_backbone
from segsuite.modeling.backbone import HRNet, MixTransformer, ResNet, UNetEncoder

from .backbone_contract import BackboneContract

ALL = ["conv1", "stem", "res2", "res3", "res4", "res5"]
NARROW = {"stem_out_channels": 8, "width_per_group": 8, "out_features": ALL}


class TestResNet18(BackboneContract):
    def build(self):
        return ResNet(depth=18, out_features=ALL, stem_out_channels=8, res2_out_channels=8)


class TestResNet50(BackboneContract):
    def build(self):
        return ResNet(depth=50, res2_out_channels=32, stride_in_1x1=True, **NARROW)


class TestDilatedResNeXt(BackboneContract):
    def build(self):
        options = {**NARROW, "width_per_group": 2, "num_groups": 4}
        return ResNet(
            depth=50, res2_out_channels=32, res4_dilation=2, res5_dilation=4, freeze_at=2, **options
        )


class TestResNetD(BackboneContract):
    def build(self):
        return ResNet(
            depth=18, out_features=ALL, res2_out_channels=8, stem_type="deeplab", avg_down=True
        )


class TestDeepLabResNet(BackboneContract):
    def build(self):
        return ResNet(
            depth=50,
            res2_out_channels=32,
            stem_type="deeplab",
            res5_dilation=2,
            res5_multi_grid=(1, 2, 4),
            **NARROW,
        )


class TestHRNet(BackboneContract):
    def build(self):
        features = ["conv1", "res2", "res3", "res4", "res5"]
        return HRNet(width=4, out_features=features, modules=(1, 1, 1), blocks=1)


class TestMixTransformer(BackboneContract):
    def build(self):
        return MixTransformer(variant="b0", drop_path_rate=0)


class TestUNetEncoder(BackboneContract):
    def build(self):
        return UNetEncoder(channels=[4, 8, 8, 16])


@pytest.mark.parametrize(
    "depth, parameters", [(18, 11.69), (34, 21.80), (50, 25.56), (101, 44.55), (152, 60.19)]
)
def test_resnet_has_the_papers_size(depth, parameters):
    """In millions, with the classifier that the figures of torchvision and others include."""
    with torch.device("meta"):
        backbone = ResNet(depth=depth)
    channels = backbone.output_shape()["res5"].channels
    count = sum(p.numel() for p in backbone.parameters()) + 1000 * channels + 1000
    assert count / 1e6 == pytest.approx(parameters, abs=0.005)


def test_resnext_101_32x8d_has_the_papers_size():
    with torch.device("meta"):
        backbone = ResNet(depth=101, num_groups=32, width_per_group=8)
    count = sum(p.numel() for p in backbone.parameters()) + 2049 * 1000
    assert count / 1e6 == pytest.approx(88.79, abs=0.005)


@pytest.mark.parametrize("width, parameters", [(18, 9562260), (32, 29305536), (48, 65325120)])
def test_hrnet_has_the_papers_size(width, parameters):
    """As timm counts them, without the classifier."""
    with torch.device("meta"):
        backbone = HRNet(width=width)
    assert sum(p.numel() for p in backbone.parameters()) == parameters


@pytest.mark.parametrize(
    "variant, parameters",
    [("b0", 3.4), ("b1", 13.1), ("b2", 24.2), ("b3", 44.0), ("b4", 60.8), ("b5", 81.4)],
)
def test_mix_transformer_has_the_papers_size(variant, parameters):
    """In millions, of the encoder alone (Table 1a of the paper)."""
    with torch.device("meta"):
        backbone = MixTransformer(variant=variant)
    count = sum(p.numel() for p in backbone.parameters())
    assert count / 1e6 == pytest.approx(parameters, abs=0.15)


@torch.no_grad()
@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_hrnet_of_an_odd_size_sees_what_it_sees_in_a_padded_image(upsampling):
    """Branches stay aligned: far from the border, zeros around the image change nothing."""
    backbone = HRNet(width=4, modules=(1, 1, 1), blocks=1, upsampling=upsampling).eval()
    x = torch.zeros(1, 3, 353, 321)
    x[..., :32, :32] = torch.randn(32, 32)
    features, padded = backbone(x), backbone(torch.nn.functional.pad(x, (0, 31, 0, 31)))
    for name, feature in features.items():
        corner = 64 // backbone.output_shape()[name].stride
        feature, expected = feature[..., :corner, :corner], padded[name][..., :corner, :corner]
        torch.testing.assert_close(feature, expected, rtol=1e-4, atol=1e-5)


def test_dropped_paths_leave_evaluation_alone():
    backbone = MixTransformer(drop_path_rate=0.9)
    x = torch.randn(1, 3, 32, 32)
    different, same = (
        [backbone.train(training)(x)["res5"] for _ in range(2)] for training in (True, False)
    )
    assert not torch.equal(*different) and torch.equal(*same)


def test_errors_of_hrnet_and_mix_transformer():
    with pytest.raises(KeyError, match="Did you mean 'res5'"):
        HRNet(out_features=["res6"])
    with pytest.raises(ValueError, match=r"UPSAMPLING is 'cubic'; it may be 'nearest'"):
        HRNet(upsampling="cubic")
    with pytest.raises(KeyError, match="'b6' is not in the variants"):
        MixTransformer(variant="b6")
    with pytest.raises(KeyError, match="features of MixTransformer"):
        MixTransformer(out_features=["stem"])


def test_dilation():
    backbone = ResNet(depth=18, res2_out_channels=8, res4_dilation=2, res5_dilation=4)
    assert backbone.output_shape() == {"res5": ShapeSpec(64, 8)}
    assert [b.conv1.dilation[0] for b in backbone.res5] == [4, 4]
    backbone = ResNet(
        depth=18, res2_out_channels=8, res4_dilation=2, res5_dilation=4, dilate_first_block=False
    )
    assert [b.conv1.dilation[0] for b in backbone.res4] == [1, 2]
    assert [b.conv1.dilation[0] for b in backbone.res5] == [2, 4]
    assert [b.conv2.dilation[0] for b in backbone.res5] == [2, 4]


def test_multi_grid():
    with torch.device("meta"):
        backbone = ResNet(depth=50, res5_dilation=2, res5_multi_grid=(1, 2, 4))
    assert [b.conv2.dilation[0] for b in backbone.res5] == [2, 4, 8]
    with pytest.raises(ValueError, match="2 factors; res5 has 3 blocks"):
        ResNet(depth=50, res5_multi_grid=(1, 2))


@torch.no_grad()
def test_resnet_d_of_timm():
    """The same numbers for timm's random weights, its statistics made less regular."""
    timm = pytest.importorskip("timm")
    peer = timm.create_model("resnet18d", features_only=True).eval()
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1)
    backbone = ResNet(depth=18, out_features=ALL[:1] + ALL[2:], stem_type="deeplab", avg_down=True)
    # Both list parameters in the order of the layers, shortcuts aside.
    ours, theirs = backbone.state_dict(), peer.state_dict()
    names = [k for k in ours if "shortcut" not in k] + [k for k in ours if "shortcut" in k]
    keys = [k for k in theirs if "downsample" not in k] + [k for k in theirs if "downsample" in k]
    backbone.load_state_dict({a: theirs[b] for a, b in zip(names, keys, strict=True)})
    x = torch.randn(1, 3, 64, 96)
    for feature, expected in zip(backbone.eval()(x).values(), peer(x), strict=True):
        torch.testing.assert_close(feature, expected, rtol=1e-4, atol=1e-4)


def test_unused_stages_are_not_built():
    assert not hasattr(ResNet(depth=18, out_features=["res3"]), "res4")


def test_stride_in_1x1():
    for stride_in_1x1, strides in [(True, (2, 1)), (False, (1, 2))]:
        with torch.device("meta"):
            block = ResNet(depth=50, stride_in_1x1=stride_in_1x1).res3[0]
        assert (block.conv1.stride[0], block.conv2.stride[0]) == strides


@pytest.mark.parametrize(
    "freeze_at, frozen", [(0, []), (1, ["stem"]), (3, ["stem", "res2", "res3"])]
)
def test_freeze(freeze_at, frozen):
    backbone = ResNet(depth=18, stem_out_channels=8, res2_out_channels=8, freeze_at=freeze_at)
    for name, child in backbone.named_children():
        is_frozen = name in frozen
        assert all(p.requires_grad is not is_frozen for p in child.parameters()), name
        norm = FrozenBatchNorm2d if is_frozen else nn.BatchNorm2d
        assert any(isinstance(m, norm) for m in child.modules()), name


def test_resnet_errors():
    with pytest.raises(KeyError, match="Did you mean 'res5'"):
        ResNet(out_features=["res6"])
    with pytest.raises(KeyError, match="depths of ResNet"):
        ResNet(depth=20)
    with pytest.raises(KeyError, match="stems of ResNet"):
        ResNet(stem_type="deep")
    with pytest.raises(ValueError, match="no grouped convolutions"):
        ResNet(depth=18, num_groups=32)


def test_from_config():
    cfg = get_cfg()
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [0.0] * 4, [1.0] * 4
    cfg.MODEL.RESNETS.DEPTH = 18
    with pytest.raises(ValueError, match="set it to 64"):
        build_backbone(cfg)
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 32
    backbone = build_backbone(cfg)
    assert backbone.stem.conv1.weight.shape == (64, 4, 7, 7)
    assert backbone.output_shape() == {"res4": ShapeSpec(128, 16)}
    assert not any(p.requires_grad for p in backbone.res2.parameters())
    cfg.MODEL.BACKBONE.NAME = "build_unet_backbone"
    cfg.MODEL.UNET.CHANNELS = [8, 16]
    shapes = {"enc1": ShapeSpec(8, 1), "enc2": ShapeSpec(16, 2)}
    assert build_backbone(cfg).output_shape() == shapes
