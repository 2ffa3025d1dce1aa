"""MMSegmentation's checkpoints with ResNetV1c (three convolutions in the stem) or plain ResNet."""

from __future__ import annotations

from .formats import RESNET, Format, Part

_RESNET_MARK = r"^backbone\.layer1\.0\.conv1\.weight"
_RESNET = (
    (r"^stem\.", "conv1."),
    # The last norm of the three-convolution stem, which timm calls bn1.
    (r"^conv1\.7\.", "stem.conv3.norm."),
    *RESNET,
)
_HEAD = (
    (r"^conv_seg\.", "predictor."),
    # ConvModule (conv, bn) as our one convolution.
    (r"\.conv\.(\w+)$", r".\1"),
    (r"\.bn\.(\w+)$", r".norm.\1"),
)
_AUX = (*_HEAD, (r"^convs\.0\.", "conv."))
_ASPP = (
    *_HEAD,
    (r"^image_pool\.1\.", "aspp.convs.4.1."),
    (r"^aspp_modules\.", "aspp.convs."),
)
_PSP = (
    *_HEAD,
    (r"^psp_modules\.(\d)\.1\.", r"pyramid.\1."),
    (r"^bottleneck\.", "conv."),
)
_UPERNET = (
    *_HEAD,
    (r"^psp_modules\.(\d)\.1\.", r"pooling.convs.\1."),
    (r"^bottleneck\.", "pooling_conv."),
    (r"^fpn_convs\.", "output_convs."),
    (r"^fpn_bottleneck\.", "fusion_conv."),
)


def _format(name: str, mark: str, rules: tuple = (), unused: tuple = ()) -> Format:
    head = (Part("decode_head.", "sem_seg_head.", rules),) if rules else ()
    parts = (
        Part("backbone.", "backbone.", _RESNET),
        *head,
        Part("auxiliary_head.", "aux_head.", _AUX),
    )
    return Format(name, marks=(_RESNET_MARK, mark), parts=parts, unused=unused)


FORMATS = (
    _format("MMSegmentation UPerNet", r"^decode_head\.fpn_bottleneck\.conv\.", _UPERNET),
    # Its grids are enlarged with corners apart, ours, as in the original, with corners aligned.
    _format("MMSegmentation PSPNet", r"^decode_head\.psp_modules\.0\.1\.conv\.", _PSP),
    _format(
        "MMSegmentation DeepLabV3",
        r"^decode_head\.image_pool\.1\.conv\.",
        _ASPP,
        unused=((r"^decode_head\.bottleneck\.", "3x3 pixels there and 1x1 here"),),
    ),
    _format(
        "MMSegmentation",
        r"^decode_head\.conv_seg\.",
        unused=((r"^decode_head\.", "a head that differs from those here"),),
    ),
)
