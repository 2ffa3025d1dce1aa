"""Every named model, on several backbones: shapes, parameters, and what can't be."""

from __future__ import annotations

import pytest
import torch

import segsuite
from segsuite.config import load_config
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.modeling import (
    GeneralizedRCNN,
    PanopticFPN,
    SemSegNetwork,
    build_backbone,
    build_model,
)
from segsuite.models import backbone_names, find_backbone, list_models, model_config

MODELS = list_models()
IMAGES = [name for name, model in MODELS.items() if model.takes == "images"]
RECORDS = [name for name in MODELS if name not in IMAGES]
# fc7 of VGG has a hundred million parameters.
NARROW = {"MODEL.VGG.FC_CHANNELS": 32}
BACKBONES = ("resnet18", "mobilenet_v3_small")
OTHERS = (
    *("resnet34d", "resnet50s", "resnext50_32x4d", "vgg11_bn", "drn_d_22", "drn_c_26"),
    *("hrnet_w18", "mit_b1", "mobilenet_v3_large", "unet_encoder"),
)


def create(name, backbone=None, num_classes=3, **options):
    overrides = {**NARROW, **options.pop("overrides", {})}
    return segsuite.create_model(
        name, backbone=backbone, num_classes=num_classes, overrides=overrides, **options
    )


def shapes(model):
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", IMAGES)
def test_logits_of_odd_sizes_and_channels(name, backbone):
    for channels, size in ((1, (47, 66)), (3, (64, 33)), (4, (35, 81))):
        net = create(name, backbone, in_channels=channels).eval()
        assert isinstance(net, SemSegNetwork) and net.num_classes == 3
        with torch.no_grad():
            logits = net(torch.randn(2, channels, *size))
        assert logits.shape == (2, 3, *size) and logits.dtype == torch.float32
        assert logits.isfinite().all()


@pytest.mark.parametrize("backbone", OTHERS)
def test_unet_and_deeplab_stand_on_every_family(backbone):
    for name in ("unet", "deeplabv3plus"):
        net = create(name, backbone)
        assert net(torch.randn(2, 3, 50, 70)).shape == (2, 3, 50, 70)


@pytest.mark.parametrize("backbone", ["timm/resnet10t", "timm/convnext_atto"])
@pytest.mark.parametrize("name", ["unet", "upernet", "fcn", "mask_rcnn"])
def test_timm(name, backbone):
    pytest.importorskip("timm")
    model = create(name, backbone, in_channels=4)
    if name != "mask_rcnn":
        assert model(torch.randn(2, 4, 50, 70)).shape == (2, 3, 50, 70)


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_those_of_the_yaml_file(name):
    with torch.device("meta"):
        from_yaml = build_model(
            load_config(
                MODELS[name].config,
                [
                    *(word for pair in NARROW.items() for word in pair),
                    *("MODEL.DEVICE", "meta", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 7),
                    *("MODEL.ROI_HEADS.NUM_CLASSES", 7),
                ],
            )
        )
        usual = create(
            name,
            num_classes=7,
            overrides={"MODEL.DEVICE": "meta", "MODEL.SEM_SEG_HEAD.NUM_CLASSES": 7},
        )
        named = create(
            name,
            MODELS[name].backbone,
            num_classes=7,
            overrides={"MODEL.DEVICE": "meta", "MODEL.SEM_SEG_HEAD.NUM_CLASSES": 7},
        )
    assert shapes(usual) == shapes(named) == shapes(from_yaml)


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("backbone", ["resnet18", "mit_b0"])
def test_models_of_objects_take_records(name, backbone):
    narrow = {
        "MODEL.FPN.OUT_CHANNELS": 16,
        "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
        "MODEL.ROI_MASK_HEAD.CONV_DIM": 16,
    }
    model = create(name, backbone, in_channels=4, overrides=narrow).eval()
    assert isinstance(model, PanopticFPN if name == "panoptic_fpn" else GeneralizedRCNN)
    with torch.no_grad():
        (output,) = model([{"image": torch.randint(0, 256, (4, 61, 90), dtype=torch.uint8)}])
    instances = output["instances"]
    assert instances.image_size == (61, 90) and (instances.pred_classes < 3).all()
    assert instances.has("pred_masks") == (name != "faster_rcnn")
    assert ("panoptic_seg" in output) == (name == "panoptic_fpn")


def test_features_are_chosen_by_stride():
    cfg = model_config("deeplabv3plus", num_classes=2, backbone="mobilenet_v3_large")
    assert cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES == ["block3", "conv_last"]
    assert cfg.MODEL.SEM_SEG_HEAD.PROJECT_FEATURES == ["block3"] and cfg.MODEL.MOBILENET.DILATED
    cfg = model_config("unet", num_classes=2, backbone="drn_d_22")
    assert cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES == ["layer1", "layer2", "layer3", "layer8"]
    assert cfg.MODEL.SEM_SEG_HEAD.DECODER_CHANNELS == [128, 64, 32]  # stride 8, 4, 2, 1
    cfg = model_config("fcn", num_classes=2, backbone="vgg11")
    assert cfg.MODEL.AUX_HEAD.IN_FEATURES == ["conv5"]
    cfg = model_config("segformer", num_classes=2, backbone="mit_b3")
    assert cfg.MODEL.SEM_SEG_HEAD.CONVS_DIM == 768


@pytest.mark.parametrize("name", backbone_names())
def test_strides_of_the_table_are_those_of_the_backbone(name):
    backbone = find_backbone(name)
    cfg = load_config(None, ["MODEL.DEVICE", "meta", "MODEL.BACKBONE.FREEZE_AT", 0])
    options = {**backbone.options, **backbone.reading(list(backbone.strides))}
    options["BACKBONE.NAME"] = backbone.builder
    cfg.merge_from_list([word for k, v in options.items() for word in (f"MODEL.{k}", v)])
    with torch.device("meta"):
        found = build_backbone(cfg).output_shape()
    assert {feature: shape.stride for feature, shape in found.items()} == backbone.strides


def test_images_of_other_than_three_channels_are_normalised():
    net = create("unet", in_channels=5)
    images = torch.full((1, 5, 8, 8), 116, dtype=torch.uint8)
    assert net.pixel_mean.shape == (5, 1, 1)
    assert net.normalize(images).abs().max() < 0.05
    given = {"MODEL.PIXEL_MEAN": [1.0, 2.0], "MODEL.PIXEL_STD": [3.0, 4.0]}
    net = create("unet", in_channels=2, overrides=given)
    assert net.pixel_mean.flatten().tolist() == [1, 2]


def test_weights_are_loaded_into_the_backbone(tmp_path):
    first = create("unet", "resnet18")
    torch.save({"model": first.state_dict()}, tmp_path / "model.pth")
    second = create("unet", "resnet18", weights=tmp_path / "model.pth")
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())
    backbone = {k: v for k, v in first.state_dict().items() if k.startswith("backbone.")}
    torch.save({"model": backbone}, tmp_path / "backbone.pth")
    other = create("fcn", "resnet18", num_classes=4, weights=tmp_path / "backbone.pth")
    assert torch.equal(other.backbone.res3[0].conv1.weight, first.backbone.res3[0].conv1.weight)


def test_a_plain_loop_learns():
    torch.manual_seed(0)
    net = create("unet", "resnet18", num_classes=2)
    x = torch.randn(2, 3, 40, 56)
    labels = (x[:, 0] > 0).long()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    values = []
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.9 * values[0]


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (("unnet", None), UnknownNameError, "Did you mean 'unet'"),
        (("unet", "resnet43"), UnknownNameError, "Did you mean 'resnet34'"),
        (("hrnet", "drn_d_22"), ConfigError, "hrnet can't stand on drn_d_22: it reads features"),
        (("lraspp", "drn_d_22"), ConfigError, "8, the coarsest, and drn_d_22 has 1, 2, 4, 8"),
        (("mask_rcnn", "unet_encoder"), ConfigError, "such as resnet50"),
    ],
)
def test_what_can_not_be(arguments, error, message):
    with pytest.raises(error, match=message):
        create(*arguments)


def test_unknown_models_of_timm():
    pytest.importorskip("timm")
    with pytest.raises(ConfigError, match="Did you mean 'convnext_tiny'"):
        create("unet", "timm/convnext_tinny")
    with pytest.raises(ConfigError, match="upernet can't stand on timm/vit_tiny_patch16_224"):
        create("upernet", "timm/vit_tiny_patch16_224")
