"""MODEL.MOBILENET and MODEL.TIMM: backbones that torchvision and timm bring."""

from ..node import CfgNode as CN
from ..node import optional

MOBILENET = CN()
MOBILENET.SIZE = optional(str)  # "large" or "small"
# "conv1", "block1", ..., "conv_last"; strides are listed in `MobileNetV3`.
MOBILENET.OUT_FEATURES = optional(list)
MOBILENET.NORM = optional(str)
MOBILENET.WIDTH_MULT = optional(float)
# The last stage keeps stride 16 and dilates its kernels, as for Lite R-ASPP.
MOBILENET.DILATED = optional(bool)

TIMM = CN()
# A model of timm that can be built with features_only=True: timm.list_models().
TIMM.NAME = "convnext_tiny"
# Indices of timm's features; they are called "f0", "f1", ... Empty: all of them.
TIMM.OUT_INDICES = ()
# Start from timm's weights for NAME, which are downloaded. (Or MODEL.WEIGHTS "timm://NAME".)
TIMM.PRETRAINED = False
# Swin: maps are padded before their windows are shifted, and always shifted, as by the authors,
# Hugging Face and MMSegmentation for dense prediction.
TIMM.PAD_BEFORE_SHIFT = False
# Norm of each feature, "LN" or "" for none, and its epsilon: on transformers and ConvNeXt below
# UPerNet, as Hugging Face and MMSegmentation have it. (1e-5 on Swin there.)
TIMM.FEATURE_NORM = ""
TIMM.FEATURE_NORM_EPS = optional(float)
