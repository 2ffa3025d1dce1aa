"""Loads that would start from noise, or compute something else than the file's network."""

import copy

import pytest
import torch
import torchvision
from torch import nn

import segsuite
from segsuite.checkpoint import convert_weights, load_weights
from segsuite.config import load_config
from segsuite.errors import WeightsError
from segsuite.modeling.backbone import ResNet
from segsuite.models import create_model
from segsuite.runs.weights import load_initial_weights


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


@pytest.fixture(scope="module")
def unet():
    return create_model(
        "unet", num_classes=3, overrides={"MODEL.SEM_SEG_HEAD.DECODER_CHANNELS": [8] * 4}
    )


def resnet(depth):
    return ResNet(
        depth=depth,
        res2_out_channels=8 if depth < 50 else 16,
        width_per_group=8,
        stem_out_channels=8,
    )


def test_a_few_names_that_fit_by_chance(path, unet):
    weights = unet.state_dict()
    torch.save({n: weights[n] for n in list(weights)[:6]}, path)
    with pytest.raises(WeightsError, match=r"has 5 of the model's \d+ tensors.*segsuite convert"):
        load_weights(copy.deepcopy(unet), path)


def test_backbone_alone_starts_a_model(path, unet):
    torch.save(unet.backbone.state_dict(), path)
    report = load_weights(copy.deepcopy(unet), path)
    assert all(name.startswith("sem_seg_head.") for name in report.missing)


def test_head_alone_starts_none(path, unet):
    torch.save({n: t for n, t in unet.state_dict().items() if n.startswith("sem_seg_head.")}, path)
    with pytest.raises(WeightsError, match="not its backbone as a whole"):
        load_weights(copy.deepcopy(unet), path)


@pytest.mark.parametrize("theirs, ours", [(50, 101), (101, 50), (50, 152)])
def test_other_depths(path, theirs, ours):
    torch.save(resnet(theirs).state_dict(), path)
    with pytest.raises(WeightsError, match=r"of another network|tensors, and not its backbone"):
        load_weights(resnet(ours), path)


def test_stages_behind_the_last_feature_are_not_missed(path):
    torch.save(resnet(50).state_dict(), path)
    report = load_weights(
        ResNet(
            depth=50,
            res2_out_channels=16,
            width_per_group=8,
            stem_out_channels=8,
            out_features=["res4"],
        ),
        path,
    )
    assert report.missing == [] and all(name.startswith("res5.") for name in report.unexpected)


ATTENTION = ["se.fc1.weight", "se.fc1.bias", "se.conv.weight"]


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_in_blocks(path, name):
    """As in timm's seresnet50: all that the model asks for is there, and one layer more."""
    model = resnet(50)
    torch.save({**model.state_dict(), f"res2.0.{name}": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match=rf"another network.*(?s:.*)res2\.0\.{name}"):
        load_weights(model, path)


def test_zero_bias_of_caffe2_is_none(path):
    model = resnet(50)
    torch.save({**model.state_dict(), "stem.conv1.bias": torch.zeros(8)}, path)
    assert load_weights(model, path).unexpected == ["stem.conv1.bias"]
    torch.save({**model.state_dict(), "stem.conv1.bias": torch.ones(8)}, path)
    with pytest.raises(WeightsError, match="another network"):
        load_weights(model, path)


def smp_state(unet, decoder):
    """segmentation_models.pytorch's names of a ResNet encoder, and some of a decoder."""
    peer = torchvision.models.resnet18(weights=None)
    names = {f"encoder.{n}": t for n, t in peer.state_dict().items() if not n.startswith("fc.")}
    return names | {
        "segmentation_head.0.weight": torch.zeros(3, 8, 3, 3),
        **{f"decoder.{name}": torch.zeros(shape) for name, shape in decoder.items()},
    }


LOOK_ALIKE = {
    "U-Net with attention (scse)": {
        "blocks.0.conv1.0.weight": (8, 768, 3, 3),
        "blocks.0.attention1.attention.cSE.1.weight": (48, 768, 1, 1),
    },
    "MAnet": {
        "blocks.0.conv1.0.weight": (8, 768, 3, 3),
        "blocks.0.hl_conv.0.0.weight": (8, 512, 3, 3),
        "center.top_conv.weight": (64, 512, 1, 1),
    },
    "U-Net++": {"blocks.x_0_0.conv1.0.weight": (8, 768, 3, 3)},
    "U-Net with a centre": {
        "blocks.0.conv1.0.weight": (8, 768, 3, 3),
        "center.0.0.weight": (512, 512, 3, 3),
    },
    "Linknet": {"blocks.0.block.0.0.weight": (128, 512, 1, 1)},
    "FPN": {"p5.weight": (256, 512, 1, 1), "seg_blocks.0.block.0.block.0.weight": (128, 256, 3, 3)},
    "PAN": {
        "fpa.branch1.1.conv.weight": (32, 512, 1, 1),
        "gau1.conv1.1.conv.weight": (32, 32, 1, 1),
    },
    "DeepLabV3+": {
        "aspp.0.convs.4.1.weight": (256, 512, 1, 1),
        "block2.0.0.weight": (304, 1, 3, 3),
    },
}


@pytest.mark.parametrize("name, decoder", LOOK_ALIKE.items())
def test_decoders_of_others_are_refused_by_name(path, unet, name, decoder):
    torch.save(smp_state(unet, decoder), path)
    converted = convert_weights(path)
    assert (converted.source, converted.settings) == (f"segmentation_models.pytorch {name}", {})
    with pytest.raises(WeightsError) as caught:
        load_weights(copy.deepcopy(unet), path)
    assert f"segmentation_models.pytorch {name}, which is not built here" in str(caught.value)
    assert "MODEL.WEIGHTS_PARTS [backbone]" in str(caught.value)


def test_declared_transfer_of_the_backbone(path, unet):
    torch.save(smp_state(unet, LOOK_ALIKE["MAnet"]), path)
    cfg = load_config("_base_/unet_resnet", ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", str(path)])
    cfg.MODEL.WEIGHTS_PARTS = ["backbone"]
    model = nn.ModuleDict(
        {"backbone": copy.deepcopy(unet.backbone), "sem_seg_head": unet.sem_seg_head}
    )
    report = load_initial_weights(model, cfg)
    assert all(name.startswith("sem_seg_head.") for name in report.missing)
    assert any(name.startswith("decoder.") for name in report.unexpected)


def test_squeeze_and_excitation_below_a_unet(path, unet):
    state = smp_state(unet, {"blocks.0.conv1.0.weight": (8, 768, 3, 3)})
    state["encoder.layer1.0.se_module.fc1.weight"] = torch.zeros(4, 64, 1, 1)
    torch.save(state, path)
    for parts in ((), ("backbone",)):
        with pytest.raises(WeightsError, match=r"squeeze and excitation|of another network"):
            load_weights(copy.deepcopy(unet), path, parts=parts)


def test_all_ways_to_give_weights_refuse(path, tmp_path, unet):
    torch.save(smp_state(unet, LOOK_ALIKE["MAnet"]), path)
    with pytest.raises(WeightsError, match="MAnet"):
        create_model("unet", num_classes=3, weights=path)
    with pytest.raises(WeightsError, match="MAnet"):
        segsuite.load("_base_/unet_resnet", weights=path)
    with pytest.raises(WeightsError, match="MAnet"):
        segsuite.Predictor.from_config(
            load_config("_base_/unet_resnet", ["MODEL.WEIGHTS", str(path), "MODEL.DEVICE", "cpu"])
        )
