"""Backbones by the names that the field has for them, as keys of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segsuite.errors import UnknownNameError
from segsuite.modeling.backbone import TimmBackbone
from segsuite.utils.registry import closest

TIMM = "timm/"


@dataclass(frozen=True)
class NamedBackbone:
    """What a name such as "resnet34" stands for.

    Attributes:
        name: the name.
        builder: of BACKBONE_REGISTRY.
        family: backbones of one family have the same features.
        section: of MODEL, with the keys of the builder.
        options: keys below MODEL and their values.
        strides: stride of one feature a resolution, finest first, without dilation.
        dilated: what keeps the coarsest feature at a smaller stride: keys below MODEL, by stride.
    """

    name: str
    builder: str
    family: str
    section: str
    options: Mapping[str, Any]
    strides: Mapping[str, int]
    dilated: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def reading(self, features: Sequence[str]) -> dict[str, Any]:
        """The key, below MODEL, that has the backbone return `features`."""
        if self.section == "UNET":
            return {}  # which returns all there are
        if self.section == "TIMM":
            return {"TIMM.OUT_INDICES": [int(name.removeprefix("f")) for name in features]}
        return {f"{self.section}.OUT_FEATURES": list(features)}


def find_backbone(name: str) -> NamedBackbone:
    """The backbone called `name`: one of `backbone_names`, or ``timm/NAME`` for any of timm's.

    Raises:
        UnknownNameError: there is none; names the closest.
        MissingPackageError: timm is not installed.
        ConfigError: timm has no such model, or it gives no features.
    """
    if name.startswith(TIMM):
        return _of_timm(name)
    if name in _NAMED:
        return _NAMED[name]
    match = closest(name, _NAMED)
    hint = f" Did you mean '{match}'?" if match else ""
    raise UnknownNameError(
        f"no backbone '{name}'.{hint} There are {', '.join(_NAMED)}, and any model of timm, as "
        f"'{TIMM}NAME'"
    )


def backbone_names() -> list[str]:
    """The names of all backbones but timm's."""
    return list(_NAMED)


def _of_timm(name: str) -> NamedBackbone:
    model = name.removeprefix(TIMM)
    # Only the model itself knows its strides.
    shapes = TimmBackbone(name=model).output_shape()
    # Of plain transformers, whose features have one stride, the last.
    strides = {shape.stride: feature for feature, shape in shapes.items()}
    return NamedBackbone(
        name,
        "build_timm_backbone",
        "timm",
        "TIMM",
        {"TIMM.NAME": model},
        {feature: stride for stride, feature in sorted(strides.items())},
    )


_RES_FEATURES = {"res2": 4, "res3": 8, "res4": 16, "res5": 32}


def _resnet(
    name: str,
    depth: int,
    *,
    stem: int = 0,
    avg_down: bool = False,
    groups: int = 1,
    width: int = 64,
) -> NamedBackbone:
    """stem: channels of three 3x3 convolutions; 0 for one of 7x7."""
    options = {
        "RESNETS.DEPTH": depth,
        "RESNETS.RES2_OUT_CHANNELS": 64 if depth < 50 else 256,
        "RESNETS.NUM_GROUPS": groups,
        "RESNETS.WIDTH_PER_GROUP": width,
        "RESNETS.STEM_TYPE": "deeplab" if stem else "basic",
        "RESNETS.STEM_OUT_CHANNELS": stem or 64,
        "RESNETS.AVG_DOWN": avg_down,
        "RESNETS.NORM": "BN",
        "RESNETS.STRIDE_IN_1X1": False,
    }
    first = {"RESNETS.DILATE_FIRST_BLOCK": False}
    return NamedBackbone(
        name,
        "build_resnet_backbone",
        "resnet",
        "RESNETS",
        options,
        {"conv1": 2, **_RES_FEATURES},
        {
            16: {"RESNETS.RES4_DILATION": 1, "RESNETS.RES5_DILATION": 2, **first},
            8: {"RESNETS.RES4_DILATION": 2, "RESNETS.RES5_DILATION": 4, **first},
        },
    )


def _vgg(name: str, depth: int, norm: str) -> NamedBackbone:
    strides = {"conv1": 1, "conv2": 2, "conv3": 4, "conv4": 8, "conv5": 16, "pool5": 32}
    options = {"VGG.DEPTH": depth, "VGG.NORM": norm}
    return NamedBackbone(name, "build_vgg_backbone", "vgg", "VGG", options, strides)


def _mobilenet(name: str, size: str, strides: Mapping[str, int]) -> NamedBackbone:
    dilated = {16: {"MOBILENET.DILATED": True}}
    options = {"MOBILENET.SIZE": size}
    return NamedBackbone(
        name, "build_mobilenet_backbone", name, "MOBILENET", options, strides, dilated
    )


def _drn(name: str, variant: str) -> NamedBackbone:
    strides = {"layer1": 1, "layer2": 2, "layer3": 4, "layer8": 8}
    return NamedBackbone(
        name, "build_drn_backbone", "drn", "DRN", {"DRN.VARIANT": variant}, strides
    )


def _all() -> list[NamedBackbone]:
    depths = (18, 34, 50, 101, 152)
    large = {"block1": 2, "block3": 4, "block6": 8, "block12": 16, "conv_last": 32}
    small = {"conv1": 2, "block1": 4, "block3": 8, "block8": 16, "conv_last": 32}
    return [
        *(_resnet(f"resnet{depth}", depth) for depth in depths),
        *(_resnet(f"resnet{depth}d", depth, stem=64, avg_down=True) for depth in depths),
        *(_resnet(f"resnet{depth}s", depth, stem=128) for depth in (50, 101, 152)),
        _resnet("resnext50_32x4d", 50, groups=32, width=4),
        _resnet("resnext101_32x8d", 101, groups=32, width=8),
        *(_vgg(f"vgg{depth}", depth, "") for depth in (11, 13, 16, 19)),
        *(_vgg(f"vgg{depth}_bn", depth, "BN") for depth in (11, 13, 16, 19)),
        *(_drn(f"drn_c_{depth}", f"C-{depth}") for depth in (26, 42, 58)),
        *(_drn(f"drn_d_{depth}", f"D-{depth}") for depth in (22, 38, 54, 105)),
        *(
            NamedBackbone(
                f"hrnet_w{width}",
                "build_hrnet_backbone",
                "hrnet",
                "HRNET",
                {"HRNET.WIDTH": width},
                {"conv1": 2, **_RES_FEATURES},
            )
            for width in (18, 32, 48)
        ),
        *(
            NamedBackbone(
                f"mit_b{size}",
                "build_mit_backbone",
                "mit",
                "MIT",
                {"MIT.VARIANT": f"b{size}"},
                _RES_FEATURES,
            )
            for size in range(6)
        ),
        _mobilenet("mobilenet_v3_large", "large", large),
        _mobilenet("mobilenet_v3_small", "small", small),
        NamedBackbone(
            "unet_encoder",
            "build_unet_backbone",
            "unet_encoder",
            "UNET",
            {},
            {f"enc{i + 1}": 2**i for i in range(5)},
        ),
    ]


_NAMED = {backbone.name: backbone for backbone in _all()}
