"""The settings of a detector on a feature pyramid, from the names and shapes of its weights."""

from __future__ import annotations

import re

from ..convert.formats import Settings
from .backbones import BackboneSettings, Weights, count, norm_of

_RPN = "proposal_generator.rpn_head."
_BOX = "roi_heads.box_head."
_MASK = "roi_heads.mask_head."


def pyramid_settings(weights: Weights, backbone: BackboneSettings) -> Settings:
    """Those of `FPN` on `backbone`; `weights` have the names of the whole model."""
    names = (re.match(r"backbone\.fpn_lateral(\d)\.weight$", name) for name in weights)
    levels = sorted(int(m[1]) for m in names if m)
    by_stride = {stride: name for name, stride in backbone.strides.items()}
    features = [by_stride[2**level] for level in levels if 2**level in by_stride]
    is_resnet = backbone.builder == "build_resnet_backbone"
    lateral = f"backbone.fpn_lateral{levels[0]}"
    settings: Settings = {
        "MODEL.BACKBONE.NAME": f"build_{'resnet_' if is_resnet else ''}fpn_backbone",
        "MODEL.FPN.IN_FEATURES": features,
        "MODEL.FPN.OUT_CHANNELS": weights[f"{lateral}.weight"].shape[0],
        "MODEL.FPN.NORM": norm_of(weights, lateral),
    }
    if not is_resnet:
        settings["MODEL.FPN.BOTTOM_UP"] = backbone.builder
    return settings | backbone.returning(features)


def region_settings(weights: Weights) -> Settings:
    """Those of the region proposal network and the heads on regions, as `GeneralizedRCNN` has them
    on a pyramid of strides 4 to 32 and one level more."""
    convs = max(1, count(weights, rf"{re.escape(_RPN)}conv\.(conv\d)\."))
    settings: Settings = {
        "MODEL.META_ARCHITECTURE": "GeneralizedRCNN",
        "MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64], [128], [256], [512]],
        "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
        "MODEL.RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
        "MODEL.RPN.CONV_DIMS": [-1] * convs,
        # Of each level.
        "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 2000,
        "MODEL.RPN.PRE_NMS_TOPK_TEST": 1000,
        "MODEL.RPN.POST_NMS_TOPK_TRAIN": 1000,
        "MODEL.RPN.POST_NMS_TOPK_TEST": 1000,
        "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
        "MODEL.ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
        "MODEL.ROI_HEADS.NUM_CLASSES": _rows(weights, "roi_heads.box_predictor.cls_score") - 1,
        "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
        "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
        "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": (
            _rows(weights, "roi_heads.box_predictor.bbox_pred") == 4
        ),
        **_box_head(weights),
    }
    if f"{_MASK}predictor.weight" in weights:
        settings |= _mask_head(weights)
    return settings


def _rows(weights: Weights, layer: str) -> int:
    return weights[f"{layer}.weight"].shape[0]


def _box_head(weights: Weights) -> Settings:
    convs = count(weights, rf"{re.escape(_BOX)}conv(\d)\.weight")
    settings: Settings = {
        "MODEL.ROI_BOX_HEAD.NUM_CONV": convs,
        "MODEL.ROI_BOX_HEAD.NUM_FC": count(weights, rf"{re.escape(_BOX)}fc(\d)\.weight"),
        "MODEL.ROI_BOX_HEAD.FC_DIM": _rows(weights, f"{_BOX}fc1"),
        "MODEL.ROI_BOX_HEAD.NORM": norm_of(weights, f"{_BOX}conv1"),
    }
    if convs:
        settings["MODEL.ROI_BOX_HEAD.CONV_DIM"] = _rows(weights, f"{_BOX}conv1")
    return settings


def _mask_head(weights: Weights) -> Settings:
    return {
        "MODEL.MASK_ON": True,
        "MODEL.ROI_MASK_HEAD.NAME": "MaskRCNNConvUpsampleHead",
        "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 14,
        "MODEL.ROI_MASK_HEAD.NUM_CONV": count(weights, rf"{re.escape(_MASK)}mask_fcn(\d)\.weight"),
        "MODEL.ROI_MASK_HEAD.CONV_DIM": _rows(weights, f"{_MASK}mask_fcn1"),
        "MODEL.ROI_MASK_HEAD.NORM": norm_of(weights, f"{_MASK}mask_fcn1"),
        "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": _rows(weights, f"{_MASK}predictor") == 1,
    }
