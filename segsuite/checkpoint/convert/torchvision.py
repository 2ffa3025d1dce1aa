"""torchvision's checkpoints: classifiers, FCN, DeepLabV3 and Lite R-ASPP. (Detectors are in a file
of their own.)"""

from __future__ import annotations

from .formats import (
    IMAGENET_CLASSIFIER,
    OUTPUT_STRIDE_8,
    RESNET,
    Classes,
    Format,
    Part,
    Settings,
    Weights,
)
from .pixels import IMAGENET


def voc_names() -> list[str]:
    """Pascal VOC's 21 classes in the order of torchvision's semantic checkpoints."""
    from torchvision.models.segmentation import FCN_ResNet50_Weights as Weights

    return list(Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"])


def _semantic_classes(weights: Weights) -> Classes:
    for name in ("sem_seg_head.predictor.bias", "sem_seg_head.fine_predictor.bias"):
        if name in weights and len(weights[name]) == 21:
            names = voc_names()
            return {"sem_seg_head": names, "aux_head": names}
    return {}


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
_RESNET = {
    **IMAGENET,
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.RESNETS.AVG_DOWN": False,
}
_DILATED = {
    **OUTPUT_STRIDE_8,
    "MODEL.SEM_SEG_HEAD.ASPP_DILATIONS": [12, 24, 36],
    "MODEL.SEM_SEG_HEAD.ASPP_POOL_TRAIN_CROP": False,
    "MODEL.SEM_SEG_HEAD.RESIZE_IN_TWO_STEPS": False,
    "MODEL.SEM_SEG_HEAD.ALIGN_CORNERS": False,
}
_DILATED_MOBILENET = {
    **IMAGENET,
    **{key: value for key, value in _DILATED.items() if not key.startswith("MODEL.RESNETS.")},
    "MODEL.MOBILENET.DILATED": True,
    "MODEL.MOBILENET.OUT_FEATURES": ["block4", "conv_last"],
}


def _lraspp_settings(weights: Weights) -> Settings:
    return {**_DILATED_MOBILENET, "MODEL.SEM_SEG_HEAD.IN_FEATURES": ["block4", "conv_last"]}


def _mobilenet_settings(weights: Weights) -> Settings:
    settings = {**_DILATED_MOBILENET, "MODEL.SEM_SEG_HEAD.IN_FEATURES": ["conv_last"]}
    if "aux_head.predictor.weight" in weights:
        settings["MODEL.AUX_HEAD.IN_FEATURES"] = ["block4"]
    return settings


def _resnet_settings(weights: Weights) -> Settings:
    return {**_RESNET, **_DILATED}


FORMATS = (
    Format(
        "torchvision Lite R-ASPP",
        marks=(r"^backbone\.0\.0\.weight", r"^classifier\.low_classifier\."),
        parts=(
            Part("backbone.", "backbone.features."),
            Part("classifier.", "sem_seg_head.", _LRASPP_HEAD),
        ),
        classes=_semantic_classes,
        settings=_lraspp_settings,
    ),
    *(
        Format(
            f"torchvision {name}{on}",
            marks=(body_mark, rf"^classifier\.{mark}\.weight"),
            parts=(
                body,
                Part("classifier.", "sem_seg_head.", head),
                Part("aux_classifier.", "aux_head.", _FCN_HEAD),
            ),
            classes=_semantic_classes,
            settings=settings,
        )
        for name, mark, head in (
            ("FCN", "0", _FCN_HEAD),
            ("DeepLabV3", r"0\.convs\.4\.1", _DEEPLAB_HEAD),
        )
        for on, body_mark, body, settings in (
            (
                "",
                r"^backbone\.layer1\.0\.conv1\.weight",
                Part("backbone.", "backbone.", RESNET),
                _resnet_settings,
            ),
            (
                " on MobileNetV3",
                r"^backbone\.0\.0\.weight",
                Part("backbone.", "backbone.features."),
                _mobilenet_settings,
            ),
        )
    ),
    Format(
        "ResNet of torchvision or timm",
        marks=(r"^layer1\.0\.conv1\.weight", r"^conv1\."),
        parts=(Part("", "", RESNET),),
        unused=((r"^fc\.", IMAGENET_CLASSIFIER),),
        settings=lambda weights: dict(_RESNET),
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
        settings=lambda weights: dict(IMAGENET),
    ),
    Format(
        "MobileNetV3 of torchvision",
        marks=(r"^features\.0\.0\.weight", r"^classifier\.3\.weight"),
        parts=(Part("features.", "features."),),
        unused=((r"^classifier\.", IMAGENET_CLASSIFIER),),
        settings=lambda weights: dict(IMAGENET),
    ),
)
