"""HRNet's checkpoints, of timm and of the authors, as a classifier or under a segmentation head."""

from __future__ import annotations

from .formats import Format, Part

# A convolution and its norm are 0 and 1 of a sequence there and one module here.
_PAIR = r"(transition\d\.\d|fuse_layers\.\d\.\d(?:\.\d)?)"
_RULES = (
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"(^|\.)bn(\d)\.", r"\1conv\2.norm."),
    (r"^(transition\d\.\d)\.0(?=\.\d)", r"\1"),
    (_PAIR + r"\.1\.(\w+)$", r"\1.norm.\2"),
    (_PAIR + r"\.0\.(\w+)$", r"\1.\2"),
)

FORMATS = (
    Format(
        "HRNet",
        marks=(r"^stage4\.0\.fuse_layers\.0\.1\.0\.weight",),
        parts=(Part("", "", _RULES),),
        unused=(
            (r"^(incre_modules|downsamp_modules|final_layer|classifier)\.", "the classifier"),
            (
                r"^(last_layer|aux_head|conv3x3_ocr|ocr_\w+|cls_head)\.",
                "a head whose convolutions have a bias besides the norm's",
            ),
        ),
    ),
)
