import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segsuite.config import get_cfg
from segsuite.layers import ShapeSpec
from segsuite.modeling import build_model
from segsuite.modeling.backbone import UNetEncoder
from segsuite.modeling.sem_seg import (
    SEM_SEG_HEADS_REGISTRY,
    FCNHead,
    HRNetV2Head,
    LRASPPHead,
    OCRHead,
    SegFormerHead,
    SemSegFPNHead,
    UNetHead,
    UPerNetHead,
    build_aux_head,
)

from .head_contract import HeadContract


class TestFCNHead(HeadContract):
    name = "FCNHead"
    in_features = ("res5",)


class TestSemSegFPNHead(HeadContract):
    name = "SemSegFPNHead"


class TestSemSegFPNHeadAtACoarserStride(HeadContract):
    name = "SemSegFPNHead"
    in_features = ("res3", "res5")
    options = {"MODEL.SEM_SEG_HEAD.COMMON_STRIDE": 8, "MODEL.SEM_SEG_HEAD.NORM": ""}


class TestUNetHead(HeadContract):
    name = "UNetHead"


class TestUNetHeadToFullSize(HeadContract):
    name = "UNetHead"
    options = {
        "MODEL.SEM_SEG_HEAD.DECODER_CHANNELS": [32, 16, 16, 16, 16],
        "MODEL.SEM_SEG_HEAD.UPSAMPLING": "transposed",
        "MODEL.SEM_SEG_HEAD.NORM": "BN",
        "MODEL.SEM_SEG_HEAD.DROPOUT": 0.1,
        "MODEL.SEM_SEG_HEAD.LOSS_TYPE": "cross_entropy+dice",
    }


class TestUNetHeadOnDilatedFeatures(HeadContract):
    name = "UNetHead"
    options = {"MODEL.SEM_SEG_HEAD.UPSAMPLING": "bilinear"}
    input_shape = {
        "res2": ShapeSpec(8, 4),
        "res3": ShapeSpec(16, 8),
        "res4": ShapeSpec(24, 8),
        "res5": ShapeSpec(32, 8),
    }


class TestLRASPPHead(HeadContract):
    name = "LRASPPHead"
    in_features = ("res3", "res5")


class TestHRNetV2Head(HeadContract):
    name = "HRNetV2Head"


class TestOCRHead(HeadContract):
    name = "OCRHead"
    options = {"MODEL.OCR.KEY_DIM": 8, "MODEL.SEM_SEG_HEAD.NORM": "BN"}


class TestSegFormerHead(HeadContract):
    name = "SegFormerHead"


class TestUPerNetHead(HeadContract):
    name = "UPerNetHead"
    options = {"MODEL.SEM_SEG_HEAD.NORM": "BN"}


class TestUPerNetHeadOnTransformers(HeadContract):
    name = "UPerNetHead"
    options = {"MODEL.UPERNET.FEATURE_NORM": "LN", "MODEL.SEM_SEG_HEAD.NORM": "BN"}


def test_the_unet_of_2015():
    """31.03 million parameters, of which batch norm has replaced the convolutions' biases."""
    with torch.device("meta"):
        encoder = UNetEncoder()
        shapes = encoder.output_shape()
        head = UNetHead(
            input_shape=shapes,
            in_features=list(shapes),
            decoder_channels=[512, 256, 128, 64],
            num_classes=2,
            upsampling="transposed",
        )
    assert head.stride == 1
    assert sum(p.numel() for m in (encoder, head) for p in m.parameters()) == 31_037_698


def unet(strides=(4, 8), levels=(8,), **kwargs):
    shapes = {f"f{i}": ShapeSpec(8, stride) for i, stride in enumerate(strides)}
    return UNetHead(
        input_shape=shapes,
        in_features=list(shapes),
        num_classes=2,
        decoder_channels=levels,
        **kwargs,
    )


def test_unet_output_stride_follows_from_the_levels():
    assert [unet(levels=[8] * n).stride for n in (1, 2, 3)] == [4, 2, 1]


def test_unet_reads_features_in_any_order():
    assert unet(strides=(16, 4, 8), levels=(8, 8)).in_features == ["f0", "f2", "f1"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"strides": (4, 16)}, "goes from stride 16 to 4"),
        ({"strides": (4, 8, 16)}, "1 levels; joining the features .* takes 2"),
        ({"strides": (1, 2), "levels": (8, 8)}, "from stride 1 to 0"),
        ({"upsampling": "cubic"}, "'cubic'; it may be"),
    ],
)
def test_unet_errors(options, message):
    with pytest.raises(ValueError, match=message):
        unet(**options)


@torch.no_grad()
def test_segformer_head_multiplies_its_linear_layers():
    """The authors' way, feature by feature, on full-size maps."""
    shapes = {"res3": ShapeSpec(16, 8), "res5": ShapeSpec(32, 32), "res2": ShapeSpec(8, 4)}
    head = SegFormerHead(input_shape=shapes, in_features=list(shapes), num_classes=3).eval()
    features = {name: torch.randn(2, s.channels, 64 // s.stride, 17) for name, s in shapes.items()}
    joined = []
    for name, linear in [
        ("res5", head.linear_c3),
        ("res3", head.linear_c2),
        ("res2", head.linear_c1),
    ]:
        x = linear["proj"](features[name].movedim(1, -1)).movedim(-1, 1)
        joined.append(F.interpolate(x, (16, 17), mode="bilinear"))
    expected = head.linear_pred(head.linear_fuse(torch.cat(joined, dim=1)))
    torch.testing.assert_close(head(features), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["BN", ""])
def test_hrnet_head_joins_the_features(norm):
    shapes = {"res2": ShapeSpec(4, 4), "res3": ShapeSpec(8, 8)}
    head = HRNetV2Head(input_shape=shapes, in_features=["res3", "res2"], num_classes=3, norm=norm)
    features = {"res2": torch.randn(1, 4, 9, 12), "res3": torch.randn(1, 8, 5, 6)}
    coarse = F.interpolate(features["res3"], (9, 12), mode="bilinear")
    expected = head.eval().predictor(head.conv(torch.cat([features["res2"], coarse], dim=1)))
    torch.testing.assert_close(head(features), expected, rtol=1e-4, atol=1e-5)


def test_ocr_learns_its_regions_too():
    shapes = {"res2": ShapeSpec(4, 4)}
    head = OCRHead(
        input_shape=shapes,
        in_features=["res2"],
        num_classes=3,
        convs_dim=8,
        key_dim=4,
        region_loss_weight=0.5,
    ).eval()
    features, targets = {"res2": torch.randn(1, 4, 8, 8)}, torch.randint(0, 3, (1, 32, 32))
    losses = head.training_losses(features, targets)
    assert list(losses) == ["loss_sem_seg", "loss_sem_seg_regions"]
    regions = head.losses(head.regions(features), targets)["loss_sem_seg"]
    torch.testing.assert_close(losses["loss_sem_seg_regions"], 0.5 * regions)
    torch.testing.assert_close(
        losses["loss_sem_seg"], head.losses(head(features), targets)["loss_sem_seg"]
    )


@torch.no_grad()
def test_ocr_gives_pixels_the_context_of_their_region():
    """Two regions that the first prediction is sure of: the context is one of two vectors."""
    shapes = {"res2": ShapeSpec(2, 4)}
    head = OCRHead(input_shape=shapes, in_features=["res2"], num_classes=2, convs_dim=4, key_dim=4)
    pixels, regions = torch.randn(1, 4, 2, 4), torch.full((1, 2, 2, 4), -100.0)
    regions[:, 0, :, :2] = regions[:, 1, :, 2:] = 100.0
    attention = head.eval().attention
    for layers in (attention.query, attention.key):
        layers[0].activation, layers[1].activation = None, lambda x: torch.zeros_like(x)
    context = attention(pixels, regions)  # nothing tells the regions apart: the mean of both
    means = torch.stack([pixels[..., :2].mean((2, 3)), pixels[..., 2:].mean((2, 3))], dim=2)
    expected = attention.out(attention.value(means.unsqueeze(-1)).mean(2, keepdim=True))
    torch.testing.assert_close(context, expected.expand_as(context))


def test_upernet_reads_several():
    with pytest.raises(ValueError, match=r"two features or more, got IN_FEATURES \['res4'\]"):
        UPerNetHead(input_shape={"res4": ShapeSpec(8, 16)}, in_features=["res4"], num_classes=2)


def test_fcn_reads_one_feature():
    shapes = {"res4": ShapeSpec(8, 16), "res5": ShapeSpec(8, 32)}
    with pytest.raises(ValueError, match="one feature"):
        FCNHead(input_shape=shapes, in_features=["res4", "res5"], convs_dim=8, num_classes=2)


def test_lraspp_reads_two_features_in_any_order():
    shapes = {"res4": ShapeSpec(8, 16), "res5": ShapeSpec(8, 32)}
    options = {"input_shape": shapes, "convs_dim": 8, "num_classes": 2}
    assert LRASPPHead(in_features=["res5", "res4"], **options).in_features == ["res4", "res5"]
    with pytest.raises(ValueError, match="a fine and a coarse feature"):
        LRASPPHead(in_features=["res4", "res4"], **options)


def test_semantic_fpn_strides():
    shapes = {"p2": ShapeSpec(8, 4), "p3": ShapeSpec(8, 8)}
    with pytest.raises(ValueError, match=r"'p2' has stride 4; .*COMMON_STRIDE \(8\) times a power"):
        SemSegFPNHead(input_shape=shapes, in_features=["p2", "p3"], common_stride=8, num_classes=2)


def test_aux_head():
    cfg = get_cfg()
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 3
    cfg.MODEL.SEM_SEG_HEAD.LOSS_WEIGHT = 2.0
    head = build_aux_head(cfg, {"res4": ShapeSpec(8, 16)})
    assert head.conv.out_channels == 256 and head.predictor.out_channels == 3
    assert head.criterion.weights == {"cross_entropy": 0.4}


class Detectron2Head(nn.Module):
    """As Detectron2's heads are: the losses, or logits in full size."""

    def __init__(self, cfg, input_shape):
        super().__init__()
        self.predictor = nn.Conv2d(input_shape["res4"].channels, 2, 1)

    def forward(self, features, targets=None):
        x = F.interpolate(self.predictor(features["res4"]), scale_factor=16.0)
        if self.training:
            return None, {"loss_sem_seg": F.cross_entropy(x, targets)}
        return x, {}


def test_a_head_of_detectron2_is_told_what_to_change():
    cfg = get_cfg()
    cfg.MODEL.SEM_SEG_HEAD.NAME = "Detectron2Head"
    SEM_SEG_HEADS_REGISTRY.register(Detectron2Head)
    try:
        with pytest.raises(TypeError, match=r"Detectron2Head without num_classes, stride.*targets"):
            build_model(cfg)
    finally:
        SEM_SEG_HEADS_REGISTRY.remove("Detectron2Head")
