"""Checkpoints of DRN's and HRNet's authors, made from the names and layers that their code has."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segsuite.checkpoint import convert
from segsuite.layers import ShapeSpec
from segsuite.modeling.backbone import DRN, HRNet
from segsuite.modeling.sem_seg import FCNHead, HRNetV2Head, OCRHead

from .test_torchvision import randomize

RES = ["res2", "res3", "res4", "res5"]


def norm(name):
    leaves = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return [f"{name}.{leaf}" for leaf in leaves]


def drn_blocks(layer, blocks, convs, downsample):
    for i in range(blocks):
        for j in range(1, convs + 1):
            yield from (f"{layer}.{i}.conv{j}.weight", *norm(f"{layer}.{i}.bn{j}"))
        if i == 0 and downsample:
            yield from (f"{layer}.0.downsample.0.weight", *norm(f"{layer}.0.downsample.1"))


def drn_layers(variant):
    """The names in each of the classifier's modules."""
    blocks, convs = {
        "C-26": ((1, 1, 2, 2, 2, 2, 1, 1), 2),
        "C-58": ((1, 1, 3, 4, 6, 3, 1, 1), 3),
        "D-22": ((1, 1, 2, 2, 2, 2, 1, 1), 2),
        "D-54": ((1, 1, 3, 4, 6, 3, 1, 1), 3),
    }[variant]
    plain = variant.startswith("D")
    if plain:
        yield "layer0", ["layer0.0.weight", *norm("layer0.1")]
    else:
        yield from [("conv1", ["conv1.weight"]), ("bn1", norm("bn1")), ("relu", [])]
    for i, count in enumerate(blocks, 1):
        layer = f"layer{i}"
        if plain and i in (1, 2, 7, 8):
            yield layer, [f"{layer}.0.weight", *norm(f"{layer}.1")]
        else:
            is_wide = convs == 3 and 3 <= i <= 6
            # In DRN-C-58, layer7 makes a quarter of the channels that it gets.
            downsample = i in (2, 3, 4, 5, 6) or (i == 7 and convs == 3)
            yield layer, list(drn_blocks(layer, count, 3 if is_wide else 2, downsample))


@pytest.mark.parametrize("variant", ["C-26", "C-58", "D-22", "D-54"])
def test_drn(variant):
    with torch.device("meta"):
        backbone = DRN(variant=variant)
        head = FCNHead(
            input_shape=backbone.output_shape(), in_features=["layer8"], convs_dim=0, num_classes=2
        )
    own = set(backbone.state_dict())
    names = [name for _, names in drn_layers(variant) for name in names]
    conversion = convert({n: torch.zeros(1) for n in [*names, "fc.weight", "fc.bias"]})
    assert conversion.source == "DRN, ImageNet classifier"
    assert conversion.weights.keys() == own
    left_out = {why for _, why in conversion.unused}
    dead = {"of a shortcut that is left out"} if variant == "C-58" else set()
    assert left_out == {"the ImageNet classifier"} | dead

    names = [
        name.replace(module, f"base.{i}", 1)
        for i, (module, names) in enumerate(drn_layers(variant))
        for name in names
    ]
    names += ["seg.weight", "seg.bias", "up.weight"]
    conversion = convert({name: torch.zeros(1) for name in names})
    assert conversion.source == f"DRN-{variant[0]}"
    assert conversion.weights.keys() == {f"backbone.{name}" for name in own} | {
        f"sem_seg_head.{name}" for name in head.state_dict()
    }
    assert {why for _, why in conversion.unused} - dead == {
        "fixed bilinear weights: logits are interpolated here"
    }


def test_drn_s_fixed_upsampling_is_interpolation_away_from_the_border():
    """16x16 pixels at stride 8, as the authors fill them."""
    centred = (torch.arange(16) / 8 - 15 / 16).abs()
    kernel = ((1 - centred)[:, None] * (1 - centred))[None, None]
    logits = torch.randn(1, 1, 5, 6)
    up = F.conv_transpose2d(logits, kernel, stride=8, padding=4)
    expected = F.interpolate(logits, scale_factor=8, mode="bilinear")
    assert up.shape == expected.shape
    inside = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(up[inside], expected[inside])


def conv_norm(in_channels, out_channels, size=1, bias=True):
    conv = nn.Conv2d(in_channels, out_channels, size, padding=size // 2, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


def norm_relu(channels):
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


def key_layers(channels, key_dim, count):
    layers = []
    for _ in range(count):
        layers += [nn.Conv2d(channels, key_dim, 1, bias=False), norm_relu(key_dim)]
        channels = key_dim
    return nn.Sequential(*layers)


class HRNetV2OfTheAuthors(nn.Module):
    def __init__(self, channels, num_classes):
        super().__init__()
        self.last_layer = conv_norm(channels, channels).append(nn.Conv2d(channels, num_classes, 1))

    def forward(self, x):
        return self.last_layer(x)


class OCROfTheAuthors(nn.Module):
    def __init__(self, channels, num_classes, mid=12, key_dim=4):
        super().__init__()
        self.aux_head = conv_norm(channels, channels).append(nn.Conv2d(channels, num_classes, 1))
        self.conv3x3_ocr = conv_norm(channels, mid, 3)
        self.cls_head = nn.Conv2d(mid, num_classes, 1)
        self.ocr_distri_head = nn.Module()
        self.ocr_distri_head.conv_bn_dropout = nn.Sequential(
            nn.Conv2d(2 * mid, mid, 1, bias=False), norm_relu(mid), nn.Dropout2d(0.05)
        )
        block = self.ocr_distri_head.object_context_block = nn.Module()
        block.f_pixel = key_layers(mid, key_dim, 2)
        block.f_object = key_layers(mid, key_dim, 2)
        block.f_down = key_layers(mid, key_dim, 1)
        block.f_up = key_layers(key_dim, mid, 1)

    def forward(self, x):
        shares = self.aux_head(x).flatten(2).softmax(dim=2)
        pixels = self.conv3x3_ocr(x)
        regions = torch.einsum("nkp,ncp->nck", shares, pixels.flatten(2))[..., None]
        block = self.ocr_distri_head.object_context_block
        query, key, value = block.f_pixel(pixels), block.f_object(regions), block.f_down(regions)
        scores = torch.einsum("nchw,nckx->nkhw", query, key) / query.shape[1] ** 0.5
        context = torch.einsum("nkhw,nckx->nchw", scores.softmax(dim=1), value)
        joined = torch.cat([block.f_up(context), pixels], dim=1)
        return self.cls_head(self.ocr_distri_head.conv_bn_dropout(joined))


@torch.no_grad()
@pytest.mark.parametrize(
    "peer, head, options, source",
    [
        (HRNetV2OfTheAuthors, HRNetV2Head, {}, "HRNetV2 of the authors"),
        (
            OCROfTheAuthors,
            OCRHead,
            {"convs_dim": 12, "key_dim": 4},
            "HRNet with OCR of the authors",
        ),
    ],
)
@pytest.mark.parametrize("prefix", ["", "model."])
def test_heads_of_hrnet(peer, head, options, source, prefix):
    """The same logits, biases that the head's convolutions have there included."""
    torch.manual_seed(0)
    shapes = {name: ShapeSpec(3 * 2**i, 4 * 2**i) for i, name in enumerate(RES)}
    peer = randomize(peer(45, num_classes=5))
    marks = {f"{prefix}stage4.0.fuse_layers.0.1.0.weight": torch.zeros(1)}
    state = {f"{prefix}{name}": tensor for name, tensor in peer.state_dict().items()}
    state["loss.criterion.weight"] = torch.zeros(5)
    conversion = convert(marks | state)
    assert conversion.source == source
    assert conversion.unused == [("loss.criterion.weight", "of the loss function")]
    head = head(input_shape=shapes, in_features=RES, num_classes=5, **options).eval()
    assert conversion.weights.pop("backbone.stage4.0.fuse_layers.0.1.weight").shape == (1,)
    head.load_state_dict(
        {k.removeprefix("sem_seg_head."): tensor for k, tensor in conversion.weights.items()}
    )
    features = {
        name: torch.randn(2, s.channels, 64 // s.stride, 96 // s.stride)
        for name, s in shapes.items()
    }
    joined = [F.interpolate(features[name], (16, 24), mode="bilinear") for name in RES]
    expected = peer(torch.cat(joined, dim=1))
    torch.testing.assert_close(head(features), expected, rtol=1e-4, atol=1e-5)


def test_whole_hrnet():
    """timm names the backbone as the authors do."""
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        state = timm.create_model("hrnet_w18").state_dict()
        backbone = HRNet(width=18)
    classifier = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")
    state = {k: v for k, v in state.items() if not k.startswith(classifier)}
    heads = {f"last_layer.{i}.weight": torch.zeros(1) for i in (0, 1, 3)}
    conversion = convert({f"model.{k}": v for k, v in (state | heads).items()})
    assert conversion.source == "HRNetV2 of the authors"
    weights = {k: v for k, v in conversion.weights.items() if k.startswith("backbone.")}
    assert weights.keys() == {f"backbone.{name}" for name in backbone.state_dict()}
