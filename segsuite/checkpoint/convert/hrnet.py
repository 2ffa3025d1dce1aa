"""HRNet's checkpoints: classifiers of timm and the authors, and the authors' segmentation networks
(HRNetV2, OCR)."""

from __future__ import annotations

from .formats import Format, Part, Weights
from .pixels import IMAGENET

# A convolution and its norm are 0 and 1 of a sequence there and one module here.
_PAIR = r"(transition\d\.\d|fuse_layers\.\d\.\d(?:\.\d)?)"
BACKBONE = (
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"(^|\.)bn(\d)\.", r"\1conv\2.norm."),
    (r"^(transition\d\.\d)\.0(?=\.\d)", r"\1"),
    (_PAIR + r"\.1\.(\w+)$", r"\1.norm.\2"),
    (_PAIR + r"\.0\.(\w+)$", r"\1.\2"),
)
BACKBONE_MARK = r"stage4\.0\.fuse_layers\.0\.1\.0\.weight"

_REGIONS = (
    (r"^0\.", "region_conv."),
    (r"^1\.", "region_conv.norm."),
    (r"^3\.", "region_predictor."),
)
_ATTENTION = (
    *((rf"^{there}\.", f"{here}.") for there, here in (("f_pixel", "query"), ("f_object", "key"))),
    *((rf"^{there}\.", f"{here}.") for there, here in (("f_down", "value"), ("f_up", "out"))),
    # Convolution, (norm, activation), convolution, (norm, activation).
    (r"^(value|out)\.0\.", r"\1."),
    (r"^(value|out)\.1\.0\.", r"\1.norm."),
    (r"^(query|key)\.1\.0\.", r"\1.0.norm."),
    (r"^(query|key)\.3\.0\.", r"\1.1.norm."),
    (r"^(query|key)\.2\.", r"\1.1."),
)
_HEADS = (
    Part("last_layer.0.", "sem_seg_head.conv."),
    Part("last_layer.1.", "sem_seg_head.conv.norm."),
    Part("last_layer.3.", "sem_seg_head.predictor."),
    Part("aux_head.", "sem_seg_head.", _REGIONS),
    Part("conv3x3_ocr.0.", "sem_seg_head.pixel_conv."),
    Part("conv3x3_ocr.1.", "sem_seg_head.pixel_conv.norm."),
    Part("ocr_distri_head.object_context_block.", "sem_seg_head.attention.", _ATTENTION),
    Part("ocr_distri_head.conv_bn_dropout.0.", "sem_seg_head.conv."),
    Part("ocr_distri_head.conv_bn_dropout.1.0.", "sem_seg_head.conv.norm."),
    Part("cls_head.", "sem_seg_head.predictor."),
)


def _biases_into_norms(weights: Weights) -> Weights:
    """Batch norm takes a convolution's bias away again: the mean it subtracts includes it."""
    weights = dict(weights)
    for name in list(weights):
        conv, _, leaf = name.rpartition(".")
        mean = f"{conv}.norm.running_mean"
        if leaf == "bias" and mean in weights:
            weights[mean] = weights[mean] - weights.pop(name)
    return weights


def _segmentation(name: str, mark: str) -> Format:
    parts = (*_HEADS, Part("", "backbone.", BACKBONE))
    return Format(
        name,
        marks=(BACKBONE_MARK, mark),
        # As saved in training there, the network is inside another module.
        parts=(
            *(Part(f"model.{part.theirs}", part.ours, part.rules) for part in parts),
            *parts,
        ),
        unused=((r"^loss\.", "of the loss function"),),
        finish=_biases_into_norms,
        settings=lambda weights: {**IMAGENET, "MODEL.HRNET.UPSAMPLING": "bilinear"},
    )


FORMATS = (
    _segmentation("HRNet with OCR of the authors", r"^(model\.)?ocr_distri_head\."),
    _segmentation("HRNetV2 of the authors", r"^(model\.)?last_layer\.3\."),
    Format(
        "HRNet",
        marks=(f"^{BACKBONE_MARK}",),
        parts=(Part("", "", BACKBONE),),
        unused=((r"^(incre_modules|downsamp_modules|final_layer|classifier)\.", "the classifier"),),
        settings=lambda weights: {**IMAGENET, "MODEL.HRNET.UPSAMPLING": "nearest"},
    ),
)
