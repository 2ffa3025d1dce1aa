"""The settings of a semantic head, from the names and shapes of its weights."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..convert.formats import Settings
from .backbones import BackboneSettings, Weights, count, norm_of

_HEAD = "MODEL.SEM_SEG_HEAD."


def head_settings(weights: Weights, backbone: BackboneSettings) -> Settings | None:
    """The settings of the semantic head with `weights`, named as here without a prefix, on features
    of `backbone`; None if it is none of those that are built here."""
    found = (describe(weights, backbone) for describe in _KINDS)
    settings = next((settings for settings in found if settings is not None), None)
    return None if settings is None else {_HEAD + key: value for key, value in settings.items()}


def aux_settings(weights: Weights, backbone: BackboneSettings) -> Settings:
    """The settings of an auxiliary head."""
    channels, read = weights["conv.weight"].shape[:2]
    # The usual feature is the one before the last.
    names = [n for n, c in backbone.features.items() if c == read]
    return {
        "MODEL.AUX_HEAD.ENABLED": True,
        "MODEL.AUX_HEAD.IN_FEATURES": names[-1:],
        "MODEL.AUX_HEAD.CONVS_DIM": channels,
    }


def _with_channels(backbone: BackboneSettings, channels: int) -> list[str]:
    """The coarsest feature of so many channels."""
    return [name for name, c in backbone.features.items() if c == channels][-1:]


def _unet(w: Weights, backbone: BackboneSettings) -> Settings | None:
    blocks = count(w, r"blocks\.(\d+)\.conv1\.weight")
    if not blocks:
        return None
    shapes = [w[f"blocks.{i}.conv1.weight"].shape for i in range(blocks)]
    is_transposed = "blocks.0.up.weight" in w
    upsampled = [shape[0] for shape in shapes]
    return {
        "NAME": "UNetHead",
        "IN_FEATURES": _chain(shapes, is_transposed, backbone),
        "NUM_CLASSES": w["predictor.weight"].shape[0],
        "DECODER_CHANNELS": upsampled,
        "PREDICTOR_KERNEL_SIZE": w["predictor.weight"].shape[-1],
        "NORM": norm_of(w, "blocks.0.conv1"),
        **({"UPSAMPLING": "transposed"} if is_transposed else {}),
    }


def _chain(shapes: list, is_transposed: bool, backbone: BackboneSettings) -> list[str]:
    """The features that the levels join, finest first, which their channels tell."""
    names = [name for name in backbone.features if not name.startswith("pool") or name == "pool5"]
    for last in range(len(names), 0, -1):
        chain, above = [names[last - 1]], backbone.features[names[last - 1]]
        for out_channels, in_channels, *_ in shapes:
            skip = in_channels - (out_channels if is_transposed else above)
            place = last - 1 - len(chain)
            if skip and (place < 0 or backbone.features[names[place]] != skip):
                break
            if skip:
                chain.append(names[place])
            above = out_channels
        else:
            return chain[::-1]
    return []


def _psp(w: Weights, backbone: BackboneSettings) -> Settings | None:
    if "pyramid.0.weight" not in w:
        return None
    return {
        "NAME": "PSPHead",
        "IN_FEATURES": _with_channels(backbone, w["pyramid.0.weight"].shape[1]),
        "NUM_CLASSES": w["predictor.weight"].shape[0],
        "CONVS_DIM": w["conv.weight"].shape[0],
        "NORM": norm_of(w, "conv"),
        "PREDICTOR_KERNEL_SIZE": w["predictor.weight"].shape[-1],
    }


def _upernet(w: Weights, backbone: BackboneSettings) -> Settings | None:
    if "pooling.convs.0.weight" not in w:
        return None
    laterals = count(w, r"lateral_convs\.(\d+)\.")
    names = [
        *(
            name
            for i in range(laterals)
            for name in _with_channels(backbone, w[f"lateral_convs.{i}.weight"].shape[1])
        ),
        *_with_channels(backbone, w["pooling.convs.0.weight"].shape[1]),
    ]
    return {
        "NAME": "UPerNetHead",
        "IN_FEATURES": names,
        "NUM_CLASSES": w["predictor.weight"].shape[0],
        "CONVS_DIM": w["fusion_conv.weight"].shape[0],
        "NORM": norm_of(w, "fusion_conv"),
    }


def _deeplab(w: Weights, backbone: BackboneSettings) -> Settings | None:
    if "aspp.convs.0.weight" not in w:
        return None
    convs = count(w, r"convs\.(\d+)\.weight")
    return {
        "NAME": "DeepLabV3Head",
        "IN_FEATURES": _with_channels(backbone, w["aspp.convs.0.weight"].shape[1]),
        "NUM_CLASSES": w["predictor.weight"].shape[0],
        **_aspp(w, "aspp."),
        "NUM_CONVS": convs,
        **({"CONVS_DIM": w["convs.0.weight"].shape[0]} if convs else {}),
    }


def _aspp(w: Weights, prefix: str) -> Settings:
    return {
        "ASPP_CHANNELS": w[f"{prefix}project.weight"].shape[0],
        "ASPP_POOL_NORM": norm_of(w, f"{prefix}convs.4.1"),
        "NORM": norm_of(w, f"{prefix}project"),
        "USE_DEPTHWISE_SEPARABLE_CONV": f"{prefix}convs.1.depthwise.weight" in w,
    }


def _deeplab_plus(w: Weights, backbone: BackboneSettings) -> Settings | None:
    levels = [m[1] for n in w if (m := re.match(r"decoder\.(\w+)\.project_conv\.weight$", n))]
    aspp = [
        m[1] for n in w if (m := re.match(r"decoder\.(\w+)\.project_conv\.project\.weight$", n))
    ]
    if not levels or len(aspp) != 1:
        return None
    finer = [name for name in backbone.features if name in levels]
    fuse = f"decoder.{finer[0]}.fuse_conv."
    is_depthwise = f"{fuse}pointwise.weight" in w
    return {
        "NAME": "DeepLabV3PlusHead",
        "IN_FEATURES": [*finer, *aspp],
        "NUM_CLASSES": w["predictor.weight"].shape[0],
        **_aspp(w, f"decoder.{aspp[0]}.project_conv."),
        "PROJECT_FEATURES": finer,
        "PROJECT_CHANNELS": [w[f"decoder.{n}.project_conv.weight"].shape[0] for n in finer],
        "CONVS_DIM": w[f"{fuse}{'pointwise' if is_depthwise else '1'}.weight"].shape[0],
    }


def _lraspp(w: Weights, backbone: BackboneSettings) -> Settings | None:
    if "gate.weight" not in w:
        return None
    return {
        "NAME": "LRASPPHead",
        "IN_FEATURES": [
            *_with_channels(backbone, w["fine_predictor.weight"].shape[1]),
            *_with_channels(backbone, w["conv.weight"].shape[1]),
        ],
        "NUM_CLASSES": w["fine_predictor.weight"].shape[0],
        "CONVS_DIM": w["conv.weight"].shape[0],
        "NORM": norm_of(w, "conv"),
    }


def _segformer(w: Weights, backbone: BackboneSettings) -> Settings | None:
    levels = count(w, r"linear_c(\d)\.proj\.weight")
    if not levels:
        return None
    read = [w[f"linear_c{i + 1}.proj.weight"].shape[1] for i in range(levels)]
    return {
        "NAME": "SegFormerHead",
        "IN_FEATURES": [name for c in read for name in _with_channels(backbone, c)],
        "NUM_CLASSES": w["linear_pred.weight"].shape[0],
        "CONVS_DIM": w["linear_fuse.weight"].shape[0],
        "NORM": norm_of(w, "linear_fuse"),
    }


def _semantic_fpn(w: Weights, backbone: BackboneSettings) -> Settings | None:
    levels = sorted({m[1] for n in w if (m := re.match(r"(p\d)\.\d+\.", n))})
    if not levels:
        return None
    # A level has a convolution for each doubling of the stride; two at stride 8 make it 4 x 2.
    convs = [count(w, rf"{level}\.(\d+)\.weight") for level in levels]
    finest = 2 ** int(levels[0][1:])
    return {
        "NAME": "SemSegFPNHead",
        "IN_FEATURES": levels,
        "NUM_CLASSES": w["predictor.weight"].shape[0],
        "CONVS_DIM": w[f"{levels[0]}.0.weight"].shape[0],
        "COMMON_STRIDE": finest if convs[0] == 1 else finest // 2 ** convs[0],
        "NORM": norm_of(w, f"{levels[0]}.0"),
    }


def _ocr(w: Weights, backbone: BackboneSettings) -> Settings | None:
    if "region_predictor.weight" not in w:
        return None
    return {
        "NAME": "OCRHead",
        "IN_FEATURES": list(backbone.features)[-4:],
        "NUM_CLASSES": w["predictor.weight"].shape[0],
        "CONVS_DIM": w["pixel_conv.weight"].shape[0],
        "NORM": norm_of(w, "pixel_conv"),
    }


def _one_conv(w: Weights, backbone: BackboneSettings) -> Settings | None:
    """FCN's head, or HRNet's, whose convolution mixes all features."""
    if "predictor.weight" not in w:
        return None
    common: Settings = {"NUM_CLASSES": w["predictor.weight"].shape[0]}
    if "conv.weight" not in w:
        features = _with_channels(backbone, w["predictor.weight"].shape[1])
        return {"NAME": "FCNHead", "IN_FEATURES": features, **common, "CONVS_DIM": 0}
    common["NORM"] = norm_of(w, "conv")
    channels, read, *kernel = w["conv.weight"].shape
    if kernel == [1, 1]:
        return {"NAME": "HRNetV2Head", "IN_FEATURES": list(backbone.features)[-4:], **common}
    features = _with_channels(backbone, read)
    return {"NAME": "FCNHead", "IN_FEATURES": features, **common, "CONVS_DIM": channels}


_KINDS: tuple[Callable[[Weights, BackboneSettings], Settings | None], ...] = (
    _unet,
    _psp,
    _upernet,
    _deeplab,
    _deeplab_plus,
    _lraspp,
    _segformer,
    _semantic_fpn,
    _ocr,
    _one_conv,
)
