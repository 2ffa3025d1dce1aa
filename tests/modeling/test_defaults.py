"""What a constructor makes, and a configuration that gives the name alone, are one network."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from segsuite.config import configurable, get_cfg
from segsuite.errors import ConfigError
from segsuite.layers import ShapeSpec
from segsuite.modeling import (
    SEM_SEG_HEADS_REGISTRY,
    SEM_SEG_LOSS_REGISTRY,
    build_backbone,
    build_model,
)
from segsuite.modeling.backbone import (
    DRN,
    VGG,
    HRNet,
    MixTransformer,
    MobileNetV3,
    UNetEncoder,
)
from segsuite.modeling.losses import SemSegCriterion
from segsuite.modeling.sem_seg import FCNHead, build_aux_head, build_sem_seg_head

FEATURES = {
    "res2": ShapeSpec(8, 4),
    "res3": ShapeSpec(16, 8),
    "res4": ShapeSpec(24, 16),
    "res5": ShapeSpec(32, 32),
}
INPUTS = {
    "DeepLabV3PlusHead": {"res2": ShapeSpec(8, 4), "res5": ShapeSpec(32, 16)},
    "LRASPPHead": {"res3": ShapeSpec(16, 8), "res5": ShapeSpec(32, 32)},
}
HEADS = sorted(
    name
    for name in SEM_SEG_HEADS_REGISTRY
    if SEM_SEG_HEADS_REGISTRY.get(name).__module__.startswith("segsuite.")
)


def attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """What a network is besides its tensors: plain attributes, functions, kinds of modules."""
    for name, child in module.named_modules():
        yield name, type(child)
        for key, value in vars(child).items():
            if not key.startswith("_") and not isinstance(value, torch.Tensor):
                yield f"{name}.{key}", value


def assert_same_network(first: nn.Module, second: nn.Module) -> None:
    shapes = [
        {name: tensor.shape for name, tensor in m.state_dict().items()} for m in (first, second)
    ]
    assert shapes[0] == shapes[1]
    assert dict(attributes(first)) == dict(attributes(second))


@pytest.mark.parametrize("name", HEADS)
def test_a_head_by_name_is_what_its_constructor_makes(name):
    inputs = INPUTS.get(name, FEATURES)
    cfg = get_cfg()
    cfg.MODEL.SEM_SEG_HEAD.NAME, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = name, 5
    made = SEM_SEG_HEADS_REGISTRY.get(name)(input_shape=inputs, num_classes=5)
    assert_same_network(build_sem_seg_head(cfg, inputs), made)
    cfg.merge_from_list(["MODEL.SEM_SEG_HEAD.NORM", "", "MODEL.SEM_SEG_HEAD.NORM", "null"])
    assert_same_network(build_sem_seg_head(cfg, inputs), made)


@pytest.mark.parametrize("name", HEADS)
def test_heads_name_the_layers_of_their_classes(name):
    inputs = INPUTS.get(name, FEATURES)
    head = SEM_SEG_HEADS_REGISTRY.get(name)(input_shape=inputs, num_classes=5)
    assert head.class_layers
    for layer in map(head.get_submodule, head.class_layers):
        assert layer.out_channels == 5
    assert [shape.stride for shape in head.in_shapes] in (
        sorted(shape.stride for shape in head.in_shapes),
        # U-Net goes from the coarsest feature on.
        sorted((shape.stride for shape in head.in_shapes), reverse=True),
    )


@pytest.mark.parametrize(
    "name, backbone",
    [
        ("build_drn_backbone", DRN),
        ("build_hrnet_backbone", HRNet),
        ("build_mit_backbone", MixTransformer),
        ("build_mobilenet_backbone", MobileNetV3),
        ("build_unet_backbone", UNetEncoder),
        ("build_vgg_backbone", VGG),
    ],
)
def test_backbones(name, backbone):
    """But for ResNet, whose keys have Detectron2's defaults."""
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.FREEZE_AT = name, 0
    with torch.device("meta"):
        assert_same_network(build_backbone(cfg), backbone())


@pytest.mark.parametrize("loss", list(SEM_SEG_LOSS_REGISTRY))
def test_losses(loss):
    cfg = get_cfg()
    cfg.MODEL.SEM_SEG_HEAD.LOSS_TYPE = loss
    assert_same_network(SemSegCriterion(cfg), SemSegCriterion(losses={loss: 1.0}))


def test_the_default_loss_and_the_auxiliary_head():
    cfg = get_cfg()
    assert_same_network(SemSegCriterion(cfg), SemSegCriterion())
    made = FCNHead(
        input_shape=FEATURES,
        in_features=["res4"],
        num_classes=54,
        criterion=SemSegCriterion(loss_weight=0.4),
    )
    assert_same_network(build_aux_head(cfg, FEATURES), made)
    assert made.conv.out_channels == 256
    # The main head's width is not the auxiliary one's.
    cfg.MODEL.SEM_SEG_HEAD.CONVS_DIM = 8
    assert build_aux_head(cfg, FEATURES).conv.out_channels == 256
    cfg.MODEL.AUX_HEAD.CONVS_DIM = 16
    assert build_aux_head(cfg, FEATURES).conv.out_channels == 16


def test_heads_of_detectron2_have_its_defaults():
    cfg = get_cfg()
    pyramid = {f"p{i}": ShapeSpec(256, 2**i) for i in range(2, 7)}
    cfg.MODEL.SEM_SEG_HEAD.NAME = "SemSegFPNHead"
    head = build_sem_seg_head(cfg, pyramid)
    assert head.in_features == ["p2", "p3", "p4", "p5"] and head.stride == 4
    assert head.p2[0].out_channels == 128 and isinstance(head.p2[0].norm, nn.GroupNorm)
    cfg.MODEL.SEM_SEG_HEAD.NAME = "DeepLabV3PlusHead"
    head = build_sem_seg_head(cfg, {name: FEATURES[name] for name in ("res2", "res5")})
    assert head.predictor.in_channels == 128
    assert head.decoder["res2"]["project_conv"].out_channels == 48
    aspp = head.decoder["res5"]["project_conv"]
    assert aspp.out_channels == 256 and aspp.dropout.p == 0.1
    assert [conv.dilation[0] for conv in list(aspp.convs)[1:4]] == [6, 12, 18]
    assert isinstance(aspp.project.norm, nn.GroupNorm)


def test_the_defaults_are_a_model():
    cfg = get_cfg()
    cfg.MODEL.DEVICE, cfg.MODEL.BACKBONE.FREEZE_AT = "cpu", 0
    model = build_model(cfg).eval()
    (prediction,) = model([{"image": torch.zeros(3, 64, 64, dtype=torch.uint8)}])
    assert prediction["sem_seg"].labels().shape == (64, 64)


@pytest.mark.parametrize(
    "name, key, value, expected",
    [
        ("PSPHead", "PREDICTOR_KERNEL_SIZE", 2, "odd positive"),
        ("PSPHead", "PREDICTOR_KERNEL_SIZE", -1, "odd positive"),
        ("UNetHead", "PREDICTOR_KERNEL_SIZE", 4, "odd positive"),
        ("PSPHead", "POOL_SCALES", [1, 0], "different positive whole"),
        ("PSPHead", "POOL_SCALES", [2, 2], "different positive whole"),
        ("PSPHead", "POOL_SCALES", [], "different positive whole"),
        ("UPerNetHead", "POOL_SCALES", [1, 2.5], "different positive whole"),
        ("UPerNetHead", "CONVS_DIM", 0, "positive whole"),
        ("FCNHead", "CONVS_DIM", -1, "whole number from 0"),
        ("SegFormerHead", "CONVS_DIM", -8, "positive whole"),
        ("SegFormerHead", "DROPOUT", 1.0, r"probability in \[0, 1\)"),
        ("HRNetV2Head", "DROPOUT", -0.1, r"probability in \[0, 1\)"),
        ("UNetHead", "DECODER_CHANNELS", [64, 0, 8], "positive whole"),
        ("DeepLabV3Head", "ASPP_DILATIONS", [6, 0], "positive whole"),
        ("DeepLabV3Head", "ASPP_CHANNELS", 0, "positive whole"),
        ("DeepLabV3PlusHead", "PROJECT_CHANNELS", [0], "positive whole"),
        ("SemSegFPNHead", "COMMON_STRIDE", 0, "positive whole"),
        ("FCNHead", "NUM_CLASSES", 0, "positive whole"),
        ("FCNHead", "IN_FEATURES", ["res4", "res5"], "FCNHead reads exactly one feature"),
        ("PSPHead", "IN_FEATURES", ["res4", "res5"], "PSPHead reads exactly one feature"),
        ("DeepLabV3Head", "IN_FEATURES", ["res4", "res5"], "reads exactly one feature"),
        ("UNetHead", "IN_FEATURES", [], "reads one feature or more"),
    ],
)
def test_impossible_numbers_are_refused_by_their_key(name, key, value, expected):
    cfg = get_cfg()
    cfg.MODEL.SEM_SEG_HEAD.NAME = name
    cfg.MODEL.SEM_SEG_HEAD[key] = value
    with pytest.raises(ConfigError, match=rf"MODEL\.SEM_SEG_HEAD\.{key} is .*{expected}"):
        build_sem_seg_head(cfg, INPUTS.get(name, FEATURES))


def test_the_auxiliary_head_reads_one_feature():
    cfg = get_cfg()
    for names in (["res3", "res4"], ["res9"], []):
        cfg.MODEL.AUX_HEAD.IN_FEATURES = names
        with pytest.raises(ConfigError, match=r"MODEL\.AUX_HEAD\.IN_FEATURES is .* exactly one"):
            build_aux_head(cfg, FEATURES)


class Shifted:
    @configurable
    def __init__(self, *, scale: float = 2.0, shift: float | None = 1.0):
        self.scale, self.shift = scale, shift

    @classmethod
    def from_config(cls, cfg):
        return {"scale": cfg.SCALE, "shift": cfg.SHIFT}


def test_none_is_left_to_the_constructor():
    cfg = get_cfg()
    cfg.SCALE, cfg.SHIFT = None, 3.0
    made = Shifted(cfg)
    assert (made.scale, made.shift) == (2.0, 3.0)
    assert Shifted(cfg, shift=None).shift is None
