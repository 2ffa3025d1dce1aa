import pytest
import torch

from segsuite.config import get_cfg
from segsuite.layers import ShapeSpec
from segsuite.modeling.backbone import UNetEncoder
from segsuite.modeling.sem_seg import (
    FCNHead,
    LRASPPHead,
    SemSegFPNHead,
    UNetHead,
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
        "MODEL.SEM_SEG_HEAD.DECODER_CHANNELS": [16, 8, 8, 4, 4],
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
