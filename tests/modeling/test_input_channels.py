"""Images of any number of channels: as many as MODEL.PIXEL_MEAN has entries, on every backbone."""

import pytest
import torch

from segsuite.config import get_cfg
from segsuite.modeling import build_model
from segsuite.modeling.backbone import BACKBONE_REGISTRY

RES = ["conv1", "res2", "res3", "res4", "res5"]
# For each backbone the features that a U-Net joins, and what makes it small.
BACKBONES = {
    "build_drn_backbone": (
        [f"layer{i}" for i in range(1, 9)],
        {"DRN.OUT_FEATURES": [f"layer{i}" for i in range(1, 9)], "DRN.BASE_CHANNELS": 4},
    ),
    "build_hrnet_backbone": (RES[1:], {"HRNET.WIDTH": 8, "HRNET.MODULES": (1, 1, 1)}),
    "build_mit_backbone": (RES[1:], {}),
    "build_mobilenet_backbone": (
        ["conv1", "block3", "block6", "conv_last"],
        {
            "MOBILENET.OUT_FEATURES": ["conv1", "block3", "block6", "conv_last"],
            "MOBILENET.WIDTH_MULT": 0.5,
            "MOBILENET.DILATED": True,
        },
    ),
    "build_resnet_backbone": (RES, {"RESNETS.OUT_FEATURES": RES}),
    "build_resnet_deeplab_backbone": (
        RES[1:],
        {"RESNETS.OUT_FEATURES": RES[1:], "RESNETS.STEM_TYPE": "deeplab"},
    ),
    "build_resnet_fpn_backbone": (
        ["p2", "p3", "p4", "p5", "p6"],
        {"RESNETS.OUT_FEATURES": RES[1:], "FPN.IN_FEATURES": RES[1:], "FPN.OUT_CHANNELS": 8},
    ),
    "build_fpn_backbone": (
        ["p2", "p3", "p4", "p5", "p6"],
        {"FPN.BOTTOM_UP": "build_hrnet_backbone", "FPN.IN_FEATURES": RES[1:], "HRNET.WIDTH": 8},
    ),
    "build_timm_backbone": (["f0", "f1", "f2", "f3", "f4"], {"TIMM.NAME": "test_resnet"}),
    "build_unet_backbone": (["enc1", "enc2", "enc3"], {"UNET.CHANNELS": [4, 8, 16]}),
    "build_vgg_backbone": (
        ["conv1", "conv2", "conv3", "conv4", "conv5"],
        {
            "VGG.OUT_FEATURES": ["conv1", "conv2", "conv3", "conv4", "conv5"],
            "VGG.DEPTH": 11,
            "VGG.BASE_CHANNELS": 4,
        },
    ),
}


def unet(backbone, channels):
    features, options = BACKBONES[backbone]
    cfg = get_cfg()
    cfg.MODEL.DEVICE, cfg.MODEL.BACKBONE.NAME = "cpu", backbone
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [100.0] * channels, [50.0] * channels
    cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.NORM = 18, "BN"
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 8
    head = cfg.MODEL.SEM_SEG_HEAD
    head.NAME, head.IN_FEATURES, head.NUM_CLASSES = "UNetHead", features, 3
    head.DECODER_CHANNELS = [8] * (len(features) - 1)
    for key, value in options.items():
        cfg.merge_from_list([f"MODEL.{key}", value])
    return cfg


@pytest.mark.parametrize("channels", [1, 4, 13])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_unet(backbone, channels):
    if backbone == "build_timm_backbone":
        pytest.importorskip("timm")
    model = build_model(unet(backbone, channels))
    record = {
        "image": torch.randint(0, 256, (channels, 64, 64), dtype=torch.uint8),
        "sem_seg": torch.randint(0, 3, (64, 64)),
    }
    losses = model([record, record])
    sum(losses.values()).backward()
    first = next(p for p in model.backbone.parameters() if p.ndim == 4)
    assert first.grad.abs().sum(dim=(0, 2, 3)).all()  # of each channel
    (output,) = model.eval()([{"image": record["image"]}])
    assert output["sem_seg"].full().shape == (3, 64, 64)
    wrong = {"image": torch.zeros(channels + 1, 64, 64)}
    with pytest.raises(ValueError, match=rf"takes {channels} channels first .*PIXEL_MEAN"):
        model([wrong])


def test_every_backbone_is_here():
    builders = {name: BACKBONE_REGISTRY.get(name) for name in BACKBONE_REGISTRY}
    own = {name for name, build in builders.items() if build.__module__.startswith("segsuite.")}
    assert set(BACKBONES) == own


def test_means_and_deviations_of_different_length():
    cfg = unet("build_unet_backbone", 4)
    cfg.MODEL.PIXEL_STD = [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match=r"PIXEL_MEAN has 4 entries.*PIXEL_STD 3"):
        build_model(cfg)
