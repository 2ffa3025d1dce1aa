"""The settings of a backbone, from the names and shapes of its weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from ..convert.formats import Settings

Weights = Mapping[str, torch.Tensor]


@dataclass
class BackboneSettings:
    """What a backbone's weights tell.

    Attributes:
        builder: MODEL.BACKBONE.NAME.
        settings: keys and values.
        features: channels of the features that it can return, finest first.
        strides: of these.
        features_key: the key that chooses among them; "" if there is none.
    """

    builder: str
    settings: Settings
    features: dict[str, int]
    strides: dict[str, int]
    features_key: str

    def main_features(self) -> list[str]:
        """One of each stride from 4 on, the last that there is."""
        by_stride = {stride: name for name, stride in self.strides.items() if stride >= 4}
        return [by_stride[stride] for stride in sorted(by_stride)]

    def returning(self, names: list[str]) -> Settings:
        """The choice of the features `names`."""
        if self.features_key == "MODEL.TIMM.OUT_INDICES":
            return {self.features_key: [int(name.removeprefix("f")) for name in names]}
        ordered = [name for name in self.features if name in names]
        return {self.features_key: ordered} if self.features_key else {}


def backbone_settings(weights: Weights) -> BackboneSettings | None:
    """The settings of the backbone with `weights`, named as here without a prefix; None if it is
    none of those that are built here.

    timm's are found by `timm_backbone`.
    """
    found = (describe(weights) for describe in _KINDS)
    return next((settings for settings in found if settings is not None), None)


def norm_of(weights: Weights, conv: str) -> str:
    """The norm behind the convolution `conv`, by its parameters."""
    if f"{conv}.norm.running_mean" in weights:
        return "BN"
    return "GN" if f"{conv}.norm.weight" in weights else ""


def count(weights: Weights, pattern: str) -> int:
    """How many different values the group in `pattern` has in the names."""
    return len({m[1] for name in weights if (m := re.match(pattern, name))})


_RESNET_NAME = re.compile(r"(stem\.conv[123]|res[2-5]\.\d+\.(conv[123]|shortcut))(\.norm)?\.\w+")
_RESNET_BLOCKS = {
    (2, 2, 2, 2): 18,
    (3, 4, 6, 3): 50,
    (3, 4, 23, 3): 101,
    (3, 8, 36, 3): 152,
}


def _resnet(w: Weights) -> BackboneSettings | None:
    if "res2.0.conv2.weight" not in w or not all(map(_RESNET_NAME.fullmatch, w)):
        return None
    stages = [s for s in ("res2", "res3", "res4", "res5") if f"{s}.0.conv1.weight" in w]
    blocks = tuple(count(w, rf"{s}\.(\d+)\.") for s in stages)
    is_bottleneck = "res2.0.conv3.weight" in w
    depth = next((d for b, d in _RESNET_BLOCKS.items() if b[: len(blocks)] == blocks), None)
    if depth is None or (depth > 50 and not is_bottleneck) or (depth == 18 and is_bottleneck):
        return None
    if depth == 50 and not is_bottleneck:
        depth = 34
    last = "conv3" if is_bottleneck else "conv2"
    channels = {s: w[f"{s}.0.{last}.weight"].shape[0] for s in stages}
    is_deep = "stem.conv3.weight" in w
    stem = w["stem.conv3.weight" if is_deep else "stem.conv1.weight"].shape[0]
    settings: Settings = {
        "MODEL.RESNETS.DEPTH": depth,
        "MODEL.RESNETS.STEM_TYPE": "deeplab" if is_deep else "basic",
        "MODEL.RESNETS.STEM_OUT_CHANNELS": stem,
        "MODEL.RESNETS.RES2_OUT_CHANNELS": channels["res2"],
        "MODEL.RESNETS.NORM": norm_of(w, "stem.conv1"),
        "MODEL.RESNETS.AVG_DOWN": False,
    }
    if is_bottleneck:
        width, per_group = w["res2.0.conv2.weight"].shape[:2]
        settings |= {
            "MODEL.RESNETS.NUM_GROUPS": width // per_group,
            "MODEL.RESNETS.WIDTH_PER_GROUP": per_group,
            "MODEL.RESNETS.STRIDE_IN_1X1": False,
        }
    strides = {"conv1": 2, **{s: 4 * 2**i for i, s in enumerate(stages)}}
    features = {"conv1": stem, **channels}
    return BackboneSettings(
        "build_resnet_backbone", settings, features, strides, "MODEL.RESNETS.OUT_FEATURES"
    )


_MIT_DEPTHS: dict[tuple[int, ...], str] = {
    (32, 2, 2, 2, 2): "b0",
    (64, 2, 2, 2, 2): "b1",
    (64, 3, 4, 6, 3): "b2",
    (64, 3, 4, 18, 3): "b3",
    (64, 3, 8, 27, 3): "b4",
    (64, 3, 6, 40, 3): "b5",
}
_FOUR = ("res2", "res3", "res4", "res5")


def _mit(w: Weights) -> BackboneSettings | None:
    if "patch_embed4.proj.weight" not in w or "block1.0.attn.q.weight" not in w:
        return None
    channels = [w[f"patch_embed{i}.proj.weight"].shape[0] for i in (1, 2, 3, 4)]
    depths = [count(w, rf"block{i}\.(\d+)\.") for i in (1, 2, 3, 4)]
    variant = _MIT_DEPTHS.get((channels[0], *depths))
    if variant is None:
        return None
    return BackboneSettings(
        "build_mit_backbone",
        {"MODEL.MIT.VARIANT": variant},
        dict(zip(_FOUR, channels, strict=True)),
        dict(zip(_FOUR, (4, 8, 16, 32), strict=True)),
        "MODEL.MIT.OUT_FEATURES",
    )


def _hrnet(w: Weights) -> BackboneSettings | None:
    width = w.get("stage2.0.branches.0.0.conv1.weight")
    if width is None:
        return None
    channels = [width.shape[0] * 2**i for i in range(4)]
    settings: Settings = {
        "MODEL.HRNET.WIDTH": channels[0],
        "MODEL.HRNET.NORM": norm_of(w, "conv1"),
        "MODEL.HRNET.MODULES": [count(w, rf"stage{i}\.(\d+)\.") for i in (2, 3, 4)],
        "MODEL.HRNET.BLOCKS": count(w, r"stage2\.0\.branches\.0\.(\d+)\."),
    }
    return BackboneSettings(
        "build_hrnet_backbone",
        settings,
        {"conv1": 64, **dict(zip(_FOUR, channels, strict=True))},
        {"conv1": 2, **dict(zip(_FOUR, (4, 8, 16, 32), strict=True))},
        "MODEL.HRNET.OUT_FEATURES",
    )


_VGG_CONVS = {8: 11, 10: 13, 13: 16, 16: 19}


def _vgg(w: Weights) -> BackboneSettings | None:
    convs = [n for n, t in w.items() if re.match(r"features\.\d+\.weight$", n) and t.dim() == 4]
    if len(convs) not in _VGG_CONVS:
        return None
    base = w["features.0.weight"].shape[0]
    norm = "BN" if "features.1.running_mean" in w else ""
    features: dict[str, int] = {}
    strides: dict[str, int] = {}
    for i, factor in enumerate((1, 2, 4, 8, 8)):
        features |= {f"conv{i + 1}": base * factor, f"pool{i + 1}": base * factor}
        strides |= {f"conv{i + 1}": 2**i, f"pool{i + 1}": 2 ** (i + 1)}
    settings: Settings = {
        "MODEL.VGG.DEPTH": _VGG_CONVS[len(convs)],
        "MODEL.VGG.NORM": norm,
        "MODEL.VGG.BASE_CHANNELS": base,
    }
    if "fc7.weight" in w:
        features["fc7"], strides["fc7"] = w["fc7.weight"].shape[0], 32
        settings["MODEL.VGG.FC_CHANNELS"] = features["fc7"]
    return BackboneSettings(
        "build_vgg_backbone", settings, features, strides, "MODEL.VGG.OUT_FEATURES"
    )


def _mobilenet(w: Weights) -> BackboneSettings | None:
    layers = count(w, r"features\.(\d+)\.")
    size = {17: "large", 13: "small"}.get(layers)
    if size is None or "features.1.block.0.0.weight" not in w:
        return None
    last = w[f"features.{layers - 1}.0.weight"].shape[0]
    width = last / {"large": 960, "small": 576}[size]
    settings: Settings = {"MODEL.MOBILENET.SIZE": size, "MODEL.MOBILENET.NORM": "BN"}
    if width != 1:
        settings["MODEL.MOBILENET.WIDTH_MULT"] = width
    features, strides = {"conv_last": last}, {"conv_last": 32}
    if size == "large":
        # Its last convolution is behind the squeeze and excitation.
        channels = w["features.4.block.3.0.weight"].shape[0]
        features, strides = {"block4": channels, **features}, {"block4": 8, **strides}
    return BackboneSettings(
        "build_mobilenet_backbone", settings, features, strides, "MODEL.MOBILENET.OUT_FEATURES"
    )


_DRN_VARIANTS = {
    (False, False, 6): "C-26",
    (False, False, 13): "C-42",
    (False, True, 13): "C-58",
    (True, False, 6): "D-22",
    (True, False, 13): "D-38",
    (True, True, 13): "D-54",
    (True, True, 30): "D-105",
}


def _drn(w: Weights) -> BackboneSettings | None:
    if "layer3.0.conv1.weight" not in w or "layer6.0.conv1.weight" not in w:
        return None
    is_plain, is_bottleneck = "layer0.0.weight" in w, "layer3.0.conv3.weight" in w
    blocks = sum(count(w, rf"layer{i}\.(\d+)\.") for i in (4, 5, 6))
    variant = _DRN_VARIANTS.get((is_plain, is_bottleneck, blocks))
    first = w.get("layer0.0.weight", w.get("conv1.weight"))
    if variant is None or first is None:
        return None
    settings: Settings = {
        "MODEL.DRN.VARIANT": variant,
        "MODEL.DRN.NORM": "BN",
        "MODEL.DRN.BASE_CHANNELS": first.shape[0],
    }
    return BackboneSettings(
        "build_drn_backbone",
        settings,
        {"layer8": 32 * first.shape[0]},
        {"layer8": 8},
        "MODEL.DRN.OUT_FEATURES",
    )


_KINDS: tuple[Callable[[Weights], BackboneSettings | None], ...] = (
    _resnet,
    _mit,
    _hrnet,
    _drn,
    _mobilenet,
    _vgg,
)
