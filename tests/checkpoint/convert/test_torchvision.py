"""torchvision's networks with random weights, converted, give the same in one process."""

import pytest
import torch
import torchvision

from segsuite.checkpoint import convert, load_weights
from segsuite.config import load_config
from segsuite.modeling import build_backbone, build_model
from tests.helpers import REPO

segmentation = torchvision.models.segmentation


def randomize(model):
    """Statistics and affine parameters of norms that are not all 0 and 1."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.2)
            torch.nn.init.uniform_(module.weight, 0.8, 1.2)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()


def ours(recipe, *options):
    options = ["MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 21, *options]
    return build_model(load_config(REPO / "configs/_base_" / recipe, options)).eval()


@torch.no_grad()
@pytest.mark.parametrize(
    "build, recipe, source",
    [
        ("fcn_resnet50", "fcn.yaml", "torchvision FCN"),
        ("deeplabv3_resnet50", "deeplab_v3.yaml", "torchvision DeepLabV3"),
        ("lraspp_mobilenet_v3_large", "lraspp.yaml", "torchvision Lite R-ASPP"),
    ],
)
def test_semantic_networks(tmp_path, build, recipe, source):
    options = {} if "lraspp" in build else {"aux_loss": True}
    peer = getattr(segmentation, build)(weights=None, weights_backbone=None, **options)
    randomize(peer)
    torch.save(peer.state_dict(), tmp_path / "weights.pth")
    model = ours(recipe)
    report = load_weights(model, tmp_path / "weights.pth")
    assert (report.source, report.missing, report.unexpected) == (source, [], [])
    x = torch.randn(1, 3, 65, 97)
    expected, features = peer(x), model.backbone(x)
    for name, head in [("out", model.sem_seg_head), ("aux", model.aux_head)]:
        if head is None:
            continue
        logits = torch.nn.functional.interpolate(head(features), x.shape[-2:], mode="bilinear")
        scale = expected[name].abs().max()
        assert (logits - expected[name]).abs().max() < 1e-5 * scale, name


@torch.no_grad()
@pytest.mark.parametrize("build, depth", [("resnet18", 18), ("resnet50", 50)])
def test_resnet_is_found_below_the_prefix_of_the_model(tmp_path, build, depth):
    """ImageNet weights start a whole segmentation model."""
    peer = randomize(getattr(torchvision.models, build)(weights=None))
    torch.save(peer.state_dict(), tmp_path / "weights.pth")
    width = 64 if depth == 18 else 256
    options = ["MODEL.RESNETS.DEPTH", depth, "MODEL.RESNETS.RES2_OUT_CHANNELS", width]
    model = ours("unet_resnet.yaml", *options)
    report = load_weights(model, tmp_path / "weights.pth")
    assert report.unexpected == ["fc.bias", "fc.weight"]
    assert all(name.startswith("sem_seg_head.") for name in report.missing)
    x = torch.randn(1, 3, 64, 64)
    res5 = torch.nn.Sequential(*list(peer.children())[:-2])(x)  # without pooling and classifier
    assert (model.backbone(x)["res5"] - res5).abs().max() < 1e-5 * res5.abs().max()


@pytest.mark.parametrize("build", ["resnet50", "resnext101_32x8d"])
def test_every_name_of_an_instance_model_s_backbone(build):
    cfg = load_config(
        REPO / "configs/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml",
        ["MODEL.RESNETS.NORM", "BN", "MODEL.BACKBONE.FREEZE_AT", 0],
    )
    if build != "resnet50":
        resnets = cfg.MODEL.RESNETS
        resnets.DEPTH, resnets.NUM_GROUPS, resnets.WIDTH_PER_GROUP = 101, 32, 8
    with torch.device("meta"):
        own = {f"backbone.{n}": t for n, t in build_backbone(cfg).state_dict().items()}
        state = getattr(torchvision.models, build)(weights=None).state_dict()
    weights = convert(state, own).weights
    assert weights.keys() == {name for name in own if ".bottom_up." in name}
    assert all(own[name].shape == tensor.shape for name, tensor in weights.items())


@pytest.mark.parametrize("size", ["large", "small"])
def test_mobilenet_keeps_its_names(size):
    with torch.device("meta"):
        state = getattr(torchvision.models, f"mobilenet_v3_{size}")(weights=None).state_dict()
    conversion = convert(state)
    assert conversion.weights.keys() == {name for name in state if name.startswith("features.")}
    assert [why for _, why in conversion.unused] == ["the ImageNet classifier"] * 4
