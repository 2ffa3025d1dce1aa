"""torchvision's detectors: Faster R-CNN and Mask R-CNN, v1 and v2."""

from __future__ import annotations

import torch

from .formats import RESNET, Classes, Format, Part, Settings, Weights
from .pixels import IMAGENET


def coco_names() -> list[str]:
    """torchvision's 90 COCO categories: COCO's ids from 1, "N/A" for ids that do not exist."""
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights as Weights

    return list(Weights.COCO_V1.meta["categories"][1:])


def _instance_classes(weights: Weights) -> Classes:
    names = coco_names()
    scores = weights["roi_heads.box_predictor.cls_score.bias"]
    return {"roi_heads": names} if len(scores) == len(names) + 1 else {}


def _background_last(scores: torch.Tensor) -> torch.Tensor:
    return torch.cat([scores[1:], scores[:1]])


def _without_background(rows: torch.Tensor) -> torch.Tensor:
    return rows[1:]


def _without_background_box(rows: torch.Tensor) -> torch.Tensor:
    return rows[4:]


# Classes 1, 2, ... and a background 0 become classes 0, 1, ... and a background behind them.
BACKGROUND_FIRST = (
    (r"^roi_heads\.box_predictor\.cls_score\.", _background_last),
    (r"^roi_heads\.box_predictor\.bbox_pred\.", _without_background_box),
    (r"^roi_heads\.mask_head\.predictor\.", _without_background),
)

_FPN = (
    *((rf"^inner_blocks\.{i}\.", f"fpn_lateral{i + 2}.") for i in range(4)),
    *((rf"^layer_blocks\.{i}\.", f"fpn_output{i + 2}.") for i in range(4)),
    # The convolutions are Sequentials since torchvision 0.13, and were not before.
    (r"(\d)\.0\.", r"\1."),
    (r"(\d)\.1\.", r"\1.norm."),
)
_RPN_HEAD = (
    (r"^cls_logits\.", "objectness_logits."),
    (r"^bbox_pred\.", "anchor_deltas."),
    (r"^conv\.(\d)\.0\.", r"conv.conv\1."),
)
_BOX_HEAD = (
    (r"^fc6\.", "fc1."),
    (r"^fc7\.", "fc2."),
    *((rf"^{i}\.0\.", f"conv{i + 1}.") for i in range(4)),
    *((rf"^{i}\.1\.", f"conv{i + 1}.norm.") for i in range(4)),
    (r"^5\.", "fc1."),
)
_MASK_HEAD = (
    *((rf"^(mask_fcn{i + 1}|{i}\.0)\.", f"mask_fcn{i + 1}.") for i in range(4)),
    *((rf"^{i}\.1\.", f"mask_fcn{i + 1}.norm.") for i in range(4)),
)


def _single_rpn_conv(weights: Weights) -> Weights:
    """An RPN with one convolution calls it `conv`, one with several `conv.conv0`, ..."""
    prefix = "proposal_generator.rpn_head.conv."
    if f"{prefix}conv1.weight" in weights:
        return weights
    return {name.replace(f"{prefix}conv0.", prefix): w for name, w in weights.items()}


def _settings(weights: Weights) -> Settings:
    settings: Settings = {
        **IMAGENET,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.AVG_DOWN": False,
        "MODEL.ANCHOR_GENERATOR.NAME": "TorchvisionAnchorGenerator",
        "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlign",
        "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 2,
    }
    if "roi_heads.mask_head.predictor.weight" in weights:
        settings |= {
            "MODEL.ROI_MASK_HEAD.WHOLE_PIXEL_MASKS": True,
            "MODEL.ROI_MASK_HEAD.POOLER_TYPE": "ROIAlign",
            "MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": 2,
        }
    return settings


_RESNET_MARK = r"^backbone\.body\.layer1\.0\.conv1\.weight"
_BOX_MARK = r"^roi_heads\.box_predictor\.cls_score\.weight"
_PARTS = (
    Part("backbone.body.", "backbone.bottom_up.", RESNET),
    Part("backbone.fpn.", "backbone.", _FPN),
    Part("rpn.head.", "proposal_generator.rpn_head.", _RPN_HEAD),
    Part("roi_heads.box_head.", "roi_heads.box_head.", _BOX_HEAD),
    Part("roi_heads.box_predictor.", "roi_heads.box_predictor."),
    Part("roi_heads.mask_head.", "roi_heads.mask_head.", _MASK_HEAD),
    Part("roi_heads.mask_predictor.conv5_mask.", "roi_heads.mask_head.deconv."),
    Part("roi_heads.mask_predictor.mask_fcn_logits.", "roi_heads.mask_head.predictor."),
)

FORMATS = (
    Format(
        "torchvision Mask R-CNN",
        marks=(_RESNET_MARK, r"^roi_heads\.mask_predictor\."),
        parts=_PARTS,
        values=BACKGROUND_FIRST,
        finish=_single_rpn_conv,
        classes=_instance_classes,
        settings=_settings,
    ),
    Format(
        "torchvision Faster R-CNN",
        marks=(_RESNET_MARK, _BOX_MARK),
        without=(r"^roi_heads\.keypoint",),
        parts=_PARTS,
        values=BACKGROUND_FIRST,
        finish=_single_rpn_conv,
        classes=_instance_classes,
        settings=_settings,
    ),
    *(
        Format(
            f"torchvision {name}",
            marks=marks,
            parts=(Part("backbone.body.", "backbone.bottom_up.", RESNET),),
            settings=lambda weights: {**IMAGENET, "MODEL.RESNETS.STRIDE_IN_1X1": False},
            refused=refused,
        )
        for name, marks, refused in (
            (
                "Keypoint R-CNN",
                (_RESNET_MARK, r"^roi_heads\.keypoint_predictor\."),
                "there are no keypoints here",
            ),
            (
                "RetinaNet or FCOS",
                (_RESNET_MARK, r"^head\.classification_head\."),
                "detectors in one stage are not built here",
            ),
        )
    ),
    Format(
        "torchvision Faster R-CNN on MobileNetV3",
        marks=(r"^backbone\.body\.0\.0\.weight", _BOX_MARK),
        parts=(Part("backbone.body.", "backbone.bottom_up.features."),),
        settings=lambda weights: dict(IMAGENET),
        refused="its pyramid joins two features of stride 32, and strides double here",
    ),
    Format(
        "torchvision SSD",
        marks=(r"^head\.classification_head\.module_list\.", r"^backbone\."),
        parts=(),
        refused="detectors in one stage are not built here",
    ),
)
