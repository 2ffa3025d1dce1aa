"""What neither names nor shapes of weights show is compared when they are loaded."""

import pytest
import torch
import torchvision

from segsuite.checkpoint import load_weights, save_weights
from segsuite.config import load_config
from segsuite.modeling import build_model
from segsuite.modeling.backbone import FPN, HRNet, MixTransformer, MobileNetV3, ResNet
from segsuite.models import create_model
from tests.checkpoint.convert.test_torchvision import randomize

OPTIONS = {"res2_out_channels": 256, "out_features": ["res3"]}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(randomize(torchvision.models.resnet50(weights=None)).state_dict(), path)
    return path


@pytest.mark.parametrize(
    "options, differing",
    [
        ({}, []),
        ({"avg_down": True}, [("MODEL.RESNETS.AVG_DOWN", "False", "True")]),
        ({"stride_in_1x1": True}, [("MODEL.RESNETS.STRIDE_IN_1X1", "False", "True")]),
        # Dilation keeps a resolution; ImageNet's weights are used with it all the time.
        ({"res4_dilation": 2, "out_features": ["res4"]}, []),
    ],
)
def test_resnet_of_torchvision(theirs, options, differing, caplog):
    report = load_weights(ResNet(depth=50, **{**OPTIONS, **options}), theirs)
    assert report.differing == differing
    assert all(key in caplog.text for key, *_ in differing)


PIXELS = ["MODEL.PIXEL_MEAN", "[103.53, 116.28, 123.675]", "MODEL.PIXEL_STD", "[1.0, 1.0, 1.0]"]


def test_pixels_and_their_order(theirs, caplog):
    options = ["MODEL.DEVICE", "cpu", "MODEL.RESNETS.OUT_FEATURES", ["res5"], *PIXELS]
    cfg = load_config("_base_/fcn", [*options, "MODEL.AUX_HEAD.ENABLED", False])
    known = {"INPUT.FORMAT": "BGR"}
    report = load_weights(build_model(cfg), theirs, settings=known)
    keys = [key for key, *_ in report.differing]
    assert keys == ["MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD", "INPUT.FORMAT"]
    assert "[123.675, 116.28, 103.53]  [103.53, 116.28, 123.675]" in caplog.text


def test_whole_networks_are_compared_in_all_settings(tmp_path, caplog):
    peer = torchvision.models.segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None
    )
    torch.save(peer.state_dict(), tmp_path / "theirs.pth")
    options = ["MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 21]
    cfg = load_config("_base_/deeplab_v3_mobilenet_v3", options)
    assert load_weights(build_model(cfg), tmp_path / "theirs.pth").differing == []
    cfg.MODEL.MOBILENET.DILATED = False
    cfg.MODEL.SEM_SEG_HEAD.ASPP_DILATIONS = [6, 12, 18]
    report = load_weights(build_model(cfg), tmp_path / "theirs.pth")
    assert report.differing == [
        ("MODEL.SEM_SEG_HEAD.ASPP_DILATIONS", "[12, 24, 36]", "[6, 12, 18]"),
        ("MODEL.MOBILENET.DILATED", "True", "False"),
    ]
    assert "MODEL.MOBILENET.DILATED" in caplog.text


def test_configuration_inside_of_a_checkpoint(tmp_path):
    """Of a training here, and of a file that was converted."""
    model = create_model("hrnet", num_classes=2, overrides={"MODEL.HRNET.MODULES": [1, 1, 1]})
    path = tmp_path / "own.pth"
    config = "MODEL: {HRNET: {UPSAMPLING: bilinear, WIDTH: 18}, MIT: {NORM_EPS: null}}"
    save_weights(path, model.state_dict(), {}, config=config)
    assert load_weights(model, path).differing == [
        ("MODEL.HRNET.UPSAMPLING", "bilinear", "nearest")
    ]


@pytest.mark.parametrize(
    "module, setting",
    [
        (lambda: MixTransformer(norm_eps=1e-5), ("MODEL.MIT.NORM_EPS", 1e-5)),
        (lambda: HRNet(upsampling="bilinear"), ("MODEL.HRNET.UPSAMPLING", "bilinear")),
        (lambda: MobileNetV3(dilated=True), ("MODEL.MOBILENET.DILATED", True)),
        (
            lambda: FPN(
                bottom_up=ResNet(depth=18, out_features=["res4", "res5"]),
                in_features=["res4", "res5"],
                fuse_type="avg",
            ),
            ("MODEL.FPN.FUSE_TYPE", "avg"),
        ),
    ],
)
def test_modules_say_what_is_hidden(module, setting):
    with torch.device("meta"):
        assert setting in module().hidden_settings.items()
