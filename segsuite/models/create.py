"""`create_model`: a named model on any backbone, through the configuration as YAML has it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from torch import nn

from segsuite.checkpoint import load_weights
from segsuite.config import CfgNode, load_config
from segsuite.errors import ConfigError
from segsuite.modeling import SemanticSegmentor, build_model

from .backbones import NamedBackbone, find_backbone
from .table import ModelInfo, find_model

_FPN = "build_resnet_fpn_backbone"


def create_model(
    name: str,
    *,
    num_classes: int,
    backbone: str | None = None,
    in_channels: int = 3,
    weights: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A new model, on the CPU, in training mode::

        net = segsuite.create_model("unet", backbone="resnet34", num_classes=3, in_channels=4)
        logits = net(torch.randn(2, 4, 480, 640))  # (2, 3, 480, 640)

    It is what a YAML file with the same settings gives, parameter for parameter.

    Args:
        name: see `list_models`.
        num_classes: of semantic models, without the ignored label; of the others those of objects.
            (Stuff of "panoptic_fpn" is ``{"MODEL.SEM_SEG_HEAD.NUM_CLASSES": ...}``.)
        backbone: "resnet50", "vgg16_bn", "mit_b2", ..., or ``"timm/NAME"`` for any of timm's models
            that give features, see `backbone_names`. None: the model's usual one. Heads that read
            the coarsest feature find it at stride 8 or 16 where the backbone can be dilated, which
            ResNets can, DRN is, and MobileNetV3 can to 16; else at the backbone's own.
        in_channels: of the images. Other than 3: each is normalised by the mean over RGB, unless
            ``MODEL.PIXEL_MEAN`` and ``MODEL.PIXEL_STD`` say otherwise.
        weights: a file or address to start from, of the whole model or of its backbone, as
            ``MODEL.WEIGHTS`` takes it: "torchvision://resnet34". None: random.
        overrides: further keys of the configuration: ``{"MODEL.SEM_SEG_HEAD.DROPOUT": 0.2}``.

    Returns:
        For semantic models a `SemSegNetwork`: images (N, C, H, W) float -> logits (N, K, H, W). For
        those of instances (whose `takes` is "records") a `GeneralizedRCNN` or `PanopticFPN`: a list
        of records -> a dict of losses in training, a list of dicts of predictions in evaluation.

    Raises:
        UnknownNameError: no model or backbone has that name; names the closest.
        ConfigError: the model can't stand on that backbone, or a setting is out of range.
        WeightsError, MissingFileError, FileAccessError: the weights do not fit, or can't be had.
    """
    cfg = model_config(
        name,
        num_classes=num_classes,
        backbone=backbone,
        in_channels=in_channels,
        weights=weights,
        overrides=overrides,
    )
    model = build_model(cfg)
    if cfg.MODEL.WEIGHTS:
        load_weights(
            model,
            cfg.MODEL.WEIGHTS,
            origin="weights",
            parts=cfg.MODEL.WEIGHTS_PARTS,
            settings={"INPUT.FORMAT": cfg.INPUT.FORMAT},
        )
    return plain(model)


def model_config(
    name: str,
    *,
    num_classes: int,
    backbone: str | None = None,
    in_channels: int = 3,
    weights: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> CfgNode:
    """The configuration that `create_model` builds from, arguments as there."""
    model = find_model(name)
    cfg = load_config(model.config)
    settings: dict[str, Any] = {"DEVICE": "cpu", "WEIGHTS": os.fspath(weights or "")}
    if backbone is not None:
        settings |= _backbone_settings(model, find_backbone(backbone), cfg)
    semantic = model.takes == "images"
    settings["SEM_SEG_HEAD.NUM_CLASSES" if semantic else "ROI_HEADS.NUM_CLASSES"] = num_classes
    if in_channels != len(cfg.MODEL.PIXEL_MEAN):
        for key in ("PIXEL_MEAN", "PIXEL_STD"):
            rgb = cfg.MODEL[key]
            settings[key] = [round(sum(rgb) / len(rgb), 3)] * in_channels
    given = {f"MODEL.{key}": value for key, value in settings.items()} | dict(overrides or {})
    cfg.merge_from_list([word for pair in given.items() for word in pair])
    return cfg


def plain(model: nn.Module) -> nn.Module:
    """The plain network of a model that has one, else the model."""
    return model.network if isinstance(model, SemanticSegmentor) else model


def _backbone_settings(model: ModelInfo, backbone: NamedBackbone, cfg: CfgNode) -> dict[str, Any]:
    """The keys below MODEL that put `model`, which `cfg` describes, on `backbone`."""
    settings = dict(backbone.options)
    if backbone.family == find_backbone(model.backbone).family:
        # The configuration says which features of the family are read.
        return settings | _head_settings(model, backbone, cfg)
    strides = dict(backbone.strides)
    dilation = _dilation(model, backbone)
    if dilation is not None:
        settings |= backbone.dilated[dilation]
        strides = {feature: min(stride, dilation) for feature, stride in strides.items()}
    features = _features(model, backbone, strides)
    with_aux = cfg.MODEL.AUX_HEAD.ENABLED
    returned = list(features)
    if with_aux:
        *_, before_last, last = [None, *strides]
        settings["AUX_HEAD.IN_FEATURES"] = [before_last or last]
        returned = [name for name in strides if name in features or name == (before_last or last)]
    settings |= backbone.reading(returned)
    if cfg.MODEL.BACKBONE.NAME == _FPN:
        settings |= {
            "BACKBONE.NAME": "build_fpn_backbone",
            "FPN.BOTTOM_UP": backbone.builder,
            "FPN.IN_FEATURES": features,
        }
    else:
        settings |= {"BACKBONE.NAME": backbone.builder, "SEM_SEG_HEAD.IN_FEATURES": features}
    if cfg.MODEL.SEM_SEG_HEAD.NAME == "DeepLabV3PlusHead":
        settings["SEM_SEG_HEAD.PROJECT_FEATURES"] = features[:-1]
    if cfg.MODEL.SEM_SEG_HEAD.NAME == "UNetHead":
        # No level can be finer than the pixels.
        levels = int(math.log2(strides[features[-1]]))
        channels = cfg.MODEL.SEM_SEG_HEAD.DECODER_CHANNELS
        settings["SEM_SEG_HEAD.DECODER_CHANNELS"] = channels[max(len(channels) - levels, 0) :]
    return settings | _head_settings(model, backbone, cfg)


def _dilation(model: ModelInfo, backbone: NamedBackbone) -> int | None:
    """The stride that the backbone is dilated to for `model`; None: it is not."""
    if model.output_stride is None or not backbone.dilated:
        return None
    return max(model.output_stride, min(backbone.dilated))


def _features(model: ModelInfo, backbone: NamedBackbone, strides: Mapping[str, int]) -> list[str]:
    if not model.strides:
        # As many as a U-Net of the paper's depth has.
        return list(strides)[:5]
    by_stride: dict[int | str, str] = {s: name for name, s in backbone.strides.items()}
    named = by_stride | {"coarsest": list(strides)[-1]}
    missing = [stride for stride in model.strides if stride not in named]
    features = [named.get(stride, "") for stride in model.strides]
    if missing or len(set(features)) < len(features):
        wanted = ", ".join("the coarsest" if s == "coarsest" else str(s) for s in model.strides)
        raise ConfigError(
            f"{model.name} can't stand on {backbone.name}: it reads features of the strides "
            f"{wanted}, and {backbone.name} has {', '.join(map(str, by_stride))}; take a backbone "
            f"that has these, such as {model.backbone}"
        )
    return features


def _head_settings(model: ModelInfo, backbone: NamedBackbone, cfg: CfgNode) -> dict[str, Any]:
    # SegFormer's head is wider on its larger backbones.
    large = backbone.family == "mit" and backbone.name not in ("mit_b0", "mit_b1")
    if cfg.MODEL.SEM_SEG_HEAD.NAME == "SegFormerHead" and model.takes == "images":
        return {"SEM_SEG_HEAD.CONVS_DIM": 768 if large else 256}
    return {}
