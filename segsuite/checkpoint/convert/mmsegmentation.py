"""MMSegmentation's checkpoints with ResNetV1c (three convolutions in the stem) or plain ResNet."""

from __future__ import annotations

from .formats import RESNET, Format, Part

_RESNET = (
    (r"^stem\.", "conv1."),
    # The last norm of the three-convolution stem, which timm calls bn1.
    (r"^conv1\.7\.", "stem.conv3.norm."),
    *RESNET,
)
# ConvModule (conv, bn) as our one convolution.
_CONV_MODULE = ((r"(^|\.)conv\.(\w+)$", r"\1\2"), (r"(^|\.)bn\.(\w+)$", r"\1norm.\2"))
_FCN_HEAD = (
    (r"^conv_seg\.", "predictor."),
    *_CONV_MODULE,
    (r"^convs\.0\.", "conv."),
)
_ASPP_HEAD = (
    (r"^conv_seg\.", "predictor."),
    *_CONV_MODULE,
    (r"^image_pool\.1\.", "aspp.convs.4.1."),
    *((rf"^aspp_modules\.{i}\.", f"aspp.convs.{i}.") for i in range(4)),
)
_UPER_HEAD = (
    (r"^conv_seg\.", "predictor."),
    *_CONV_MODULE,
    (r"^psp_modules\.(\d)\.1\.", r"pooling.convs.\1."),
    (r"^bottleneck\.", "pooling_conv."),
    (r"^fpn_convs\.", "output_convs."),
    (r"^fpn_bottleneck\.", "fusion_conv."),
)
_AUX = Part("auxiliary_head.", "aux_head.", _FCN_HEAD)

FORMATS = (
    Format(
        "MMSegmentation FCN",
        marks=(r"^backbone\.layer1\.0\.conv1\.weight", r"^decode_head\.convs\.0\.conv\.weight"),
        parts=(
            Part("backbone.", "backbone.", _RESNET),
            Part("decode_head.", "sem_seg_head.", _FCN_HEAD),
            _AUX,
        ),
    ),
    Format(
        "MMSegmentation DeepLabV3",
        marks=(r"^backbone\.layer1\.0\.conv1\.weight", r"^decode_head\.image_pool\.1\.conv\."),
        parts=(
            Part("backbone.", "backbone.", _RESNET),
            Part("decode_head.", "sem_seg_head.", _ASPP_HEAD),
            _AUX,
        ),
        unused=((r"^decode_head\.bottleneck\.", "3x3 pixels there and 1x1 here"),),
    ),
    Format(
        "MMSegmentation UPerNet",
        marks=(r"^backbone\.layer1\.0\.conv1\.weight", r"^decode_head\.psp_modules\.0\.1\.conv\."),
        parts=(
            Part("backbone.", "backbone.", _RESNET),
            Part("decode_head.", "sem_seg_head.", _UPER_HEAD),
            _AUX,
        ),
    ),
    # Heads without a counterpart: the backbone alone.
    Format(
        "MMSegmentation",
        marks=(r"^backbone\.layer1\.0\.conv1\.weight", r"^decode_head\.conv_seg\."),
        parts=(Part("backbone.", "backbone.", _RESNET), _AUX),
        unused=((r"^decode_head\.", "a head that differs from those here"),),
    ),
)
