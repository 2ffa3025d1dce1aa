"""torchvision's checkpoints: ResNet, FCN, DeepLabV3, Lite R-ASPP and Mask R-CNN (v1 and v2)."""

from __future__ import annotations

import torch

from .formats import IMAGENET_CLASSIFIER, RESNET, Classes, Format, Part, Weights


def voc_names() -> list[str]:
    """Pascal VOC's 21 classes in the order of torchvision's semantic checkpoints."""
    from torchvision.models.segmentation import FCN_ResNet50_Weights as Weights

    return list(Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"])


def coco_names() -> list[str]:
    """torchvision's 90 COCO categories: COCO's ids from 1, "N/A" for ids that do not exist."""
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights as Weights

    return list(Weights.COCO_V1.meta["categories"][1:])


def _semantic_classes(weights: Weights) -> Classes:
    for name in ("sem_seg_head.predictor.bias", "sem_seg_head.fine_predictor.bias"):
        if name in weights and len(weights[name]) == 21:
            names = voc_names()
            return {"sem_seg_head": names, "aux_head": names}
    return {}


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

_FCN_HEAD = ((r"^0\.", "conv."), (r"^1\.", "conv.norm."), (r"^4\.", "predictor."))
# Of DeepLabV3: the pooled branch begins with the pooling.
ASPP = (
    (r"convs\.4\.1\.(\w+)$", r"convs.4.1.\1"),
    (r"convs\.4\.2\.(\w+)$", r"convs.4.1.norm.\1"),
    (r"convs\.([0-3])\.0\.(\w+)$", r"convs.\1.\2"),
    (r"convs\.([0-3])\.1\.(\w+)$", r"convs.\1.norm.\2"),
    (r"project\.0\.", "project."),
    (r"project\.1\.", "project.norm."),
)
_DEEPLAB_HEAD = (
    (r"^1\.", "convs.0."),
    (r"^2\.", "convs.0.norm."),
    (r"^4\.", "predictor."),
    *((rf"^0\.{pattern}", f"aspp.{new}") for pattern, new in ASPP),
)
_LRASPP_HEAD = (
    (r"^cbr\.0\.", "conv."),
    (r"^cbr\.1\.", "conv.norm."),
    (r"^scale\.1\.", "gate."),
    (r"^low_classifier\.", "fine_predictor."),
    (r"^high_classifier\.", "coarse_predictor."),
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


FORMATS = (
    Format(
        "torchvision Mask R-CNN",
        marks=(r"^backbone\.body\.layer1\.0\.conv1\.weight", r"^roi_heads\.mask_predictor\."),
        parts=(
            Part("backbone.body.", "backbone.bottom_up.", RESNET),
            Part("backbone.fpn.", "backbone.", _FPN),
            Part("rpn.head.", "proposal_generator.rpn_head.", _RPN_HEAD),
            Part("roi_heads.box_head.", "roi_heads.box_head.", _BOX_HEAD),
            Part("roi_heads.box_predictor.", "roi_heads.box_predictor."),
            Part("roi_heads.mask_head.", "roi_heads.mask_head.", _MASK_HEAD),
            Part("roi_heads.mask_predictor.conv5_mask.", "roi_heads.mask_head.deconv."),
            Part("roi_heads.mask_predictor.mask_fcn_logits.", "roi_heads.mask_head.predictor."),
        ),
        values=BACKGROUND_FIRST,
        finish=_single_rpn_conv,
        classes=_instance_classes,
    ),
    Format(
        "torchvision Lite R-ASPP",
        marks=(r"^backbone\.0\.0\.weight", r"^classifier\.low_classifier\."),
        parts=(
            Part("backbone.", "backbone.features."),
            Part("classifier.", "sem_seg_head.", _LRASPP_HEAD),
        ),
        classes=_semantic_classes,
    ),
    *(
        Format(
            f"torchvision {name}",
            marks=(r"^backbone\.layer1\.0\.conv1\.weight", rf"^classifier\.{mark}\.weight"),
            parts=(
                Part("backbone.", "backbone.", RESNET),
                Part("classifier.", "sem_seg_head.", head),
                Part("aux_classifier.", "aux_head.", _FCN_HEAD),
            ),
            classes=_semantic_classes,
        )
        for name, mark, head in (
            ("FCN", "0", _FCN_HEAD),
            ("DeepLabV3", r"0\.convs\.4\.1", _DEEPLAB_HEAD),
        )
    ),
    Format(
        "ResNet of torchvision or timm",
        marks=(r"^layer1\.0\.conv1\.weight", r"^conv1\."),
        parts=(Part("", "", RESNET),),
        unused=((r"^fc\.", IMAGENET_CLASSIFIER),),
    ),
    Format(
        "VGG of torchvision",
        marks=(r"^features\.0\.weight", r"^classifier\.3\.weight"),
        parts=(
            Part("features.", "features."),
            Part("classifier.0.", "fc6."),
            Part("classifier.3.", "fc7."),
        ),
        unused=((r"^classifier\.6\.", IMAGENET_CLASSIFIER),),
        # Fully connected layers on 7x7 pixels as convolutions.
        values=(
            (r"^fc6\.weight", lambda w: w.reshape(len(w), -1, 7, 7)),
            (r"^fc7\.weight", lambda w: w[:, :, None, None]),
        ),
    ),
    Format(
        "MobileNetV3 of torchvision",
        marks=(r"^features\.0\.0\.weight", r"^classifier\.3\.weight"),
        parts=(Part("features.", "features."),),
        unused=((r"^classifier\.", IMAGENET_CLASSIFIER),),
    ),
)
