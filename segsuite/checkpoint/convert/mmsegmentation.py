"""MMSegmentation's checkpoints on ResNetV1c (three convolutions in the stem), plain ResNet, HRNet
and Mix Transformers."""

from __future__ import annotations

from collections.abc import Iterator

from .formats import OUTPUT_STRIDE_8, RESNET, Format, Part, Rules, Settings, Weights
from .hrnet import BACKBONE as _HRNET
from .hrnet import BACKBONE_MARK
from .pixels import IMAGENET

_AVERAGED_MARK = r"^backbone\.layer2\.0\.downsample\.2\.weight"
_RESNET_MARK = r"^backbone\.layer1\.0\.conv1\.weight"
_RESNET = (
    (r"^stem\.", "conv1."),
    # The last norm of the three-convolution stem, which timm calls bn1.
    (r"^conv1\.7\.", "stem.conv3.norm."),
    *RESNET,
)
# Of ResNetV1d: 0 is the pooling where there is a stride.
_AVERAGED: Rules = (
    (r"^(layer[234]\.0\.downsample)\.1\.", r"\1.0."),
    (r"^(layer[234]\.0\.downsample)\.2\.", r"\1.1."),
)
_HEAD: Rules = (
    # conv_seg is classifier, and bn batch_norm, where transformers has taken over a head.
    (r"^(conv_seg|classifier)\.", "predictor."),
    # ConvModule (conv, bn) as our one convolution.
    (r"\.conv\.(\w+)$", r".\1"),
    (r"\.(bn|batch_norm)\.(\w+)$", r".norm.\2"),
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
UPERNET = (
    *_HEAD,
    (r"^psp_modules\.(\d)\.1\.", r"pooling.convs.\1."),
    (r"^bottleneck\.", "pooling_conv."),
    (r"^fpn_convs\.", "output_convs."),
    (r"^fpn_bottleneck\.", "fusion_conv."),
)
_HRNET_HEAD = (*_HEAD, (r"^convs\.0\.", "conv."))
# OCR is a cascade of two heads there and one head here.
_OCR_REGIONS = (
    (r"^conv_seg\.", "region_predictor."),
    (r"^convs\.0\.", "region_conv."),
    *_HEAD,
)
_OCR = (
    (r"^bottleneck\.", "pixel_conv."),
    (r"^object_context_block\.bottleneck\.", "conv."),
    (r"^object_context_block\.(query|key|value|out)_project\.", r"attention.\1."),
    *_HEAD,
)
_FPN_NECK = (
    *((rf"^lateral_convs\.{i}\.conv\.", f"fpn_lateral{i + 2}.") for i in range(4)),
    *((rf"^fpn_convs\.{i}\.conv\.", f"fpn_output{i + 2}.") for i in range(4)),
)
_FPN_HEAD = (*_HEAD, *((rf"^scale_heads\.{i}\.", f"p{i + 2}.") for i in range(4)))
_MIT = (
    *((rf"^layers\.{i}\.0\.projection\.", f"patch_embed{i + 1}.proj.") for i in range(4)),
    *((rf"^layers\.{i}\.0\.norm\.", f"patch_embed{i + 1}.norm.") for i in range(4)),
    *((rf"^layers\.{i}\.1\.", f"block{i + 1}.") for i in range(4)),
    *((rf"^layers\.{i}\.2\.", f"norm{i + 1}.") for i in range(4)),
    (r"\.attn\.attn\.out_proj\.", ".attn.proj."),
    (r"\.attn\.attn\.in_proj_", ".attn.qkv."),
    (r"\.ffn\.layers\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.dwconv.dwconv."),
    (r"\.ffn\.layers\.4\.", ".mlp.fc2."),
)
_OTHER_HEAD = (r"^decode_head\.", "a head that differs from those here")


def _queries_apart(weights: Weights) -> Weights:
    """Queries, keys and values are one matrix there; queries are one here, and the others one."""
    apart: Weights = {}
    for name, tensor in weights.items():
        module, is_joint, leaf = name.partition(".attn.qkv.")
        if is_joint:
            queries = len(tensor) // 3
            apart[f"{module}.attn.q.{leaf}"] = tensor[:queries]
            apart[f"{module}.attn.kv.{leaf}"] = tensor[queries:]
        else:
            apart[name] = tensor
    return apart


def _resnet_settings(weights: Weights) -> Settings:
    """Those of the published configurations, whose images are RGB and normalised as ImageNet's."""
    settings: Settings = {**IMAGENET, "MODEL.RESNETS.STRIDE_IN_1X1": False}
    if "sem_seg_head.pyramid.0.weight" in weights:
        settings |= OUTPUT_STRIDE_8 | {"MODEL.SEM_SEG_HEAD.POOL_ALIGN_CORNERS": False}
    return settings


def _hrnet_settings(weights: Weights) -> Settings:
    return {**IMAGENET, "MODEL.HRNET.UPSAMPLING": "bilinear"}


def _formats(
    name: str,
    mark: str,
    rules: Rules = (),
    unused: tuple[tuple[str, str], ...] = (),
    refused: str = "",
    neck: tuple[Part, ...] = (),
) -> Iterator[Format]:
    """For ResNetV1d, whose shortcuts begin with an average, and for V1c and plain ResNet."""
    head = (Part("decode_head.", "sem_seg_head.", rules),) if rules else ()
    body = "backbone.bottom_up." if neck else "backbone."
    for averaged in (True, False):
        yield Format(
            name,
            marks=(*([_AVERAGED_MARK] if averaged else []), _RESNET_MARK, mark),
            parts=(
                Part("backbone.", body, (*(_AVERAGED if averaged else ()), *_RESNET)),
                *neck,
                *head,
                Part("auxiliary_head.", "aux_head.", _AUX),
            ),
            unused=unused,
            settings=_averaged_settings if averaged else _resnet_settings,
            refused=refused,
        )


def _averaged_settings(weights: Weights) -> Settings:
    return {**_resnet_settings(weights), "MODEL.RESNETS.AVG_DOWN": True}


def _hrnet(name: str, mark: str, *heads: Part) -> Format:
    parts = (Part("backbone.", "backbone.", _HRNET), *heads)
    return Format(
        name,
        marks=(rf"^backbone\.{BACKBONE_MARK}", mark),
        parts=parts,
        settings=_hrnet_settings,
    )


FORMATS = (
    _hrnet(
        "MMSegmentation HRNet with OCR",
        r"^decode_head\.1\.object_context_block\.",
        Part("decode_head.0.", "sem_seg_head.", _OCR_REGIONS),
        Part("decode_head.1.", "sem_seg_head.", _OCR),
    ),
    _hrnet(
        "MMSegmentation HRNet",
        r"^decode_head\.convs\.0\.conv\.",
        Part("decode_head.", "sem_seg_head.", _HRNET_HEAD),
    ),
    *(
        Format(
            name,
            marks=(
                r"layers\.0\.0\.projection\.weight",
                r"layers\.0\.1\.0\.attn\.attn\.in_proj_weight",
                *marks,
            ),
            parts=(
                Part("backbone.", "backbone.", _MIT),
                Part("layers.", "", ((r"^", "layers."), *_MIT)),
            ),
            unused=(_OTHER_HEAD,),
            values=((r"\.mlp\.fc\d\.weight$", lambda w: w.flatten(1)),),
            finish=_queries_apart,
            settings=lambda weights: {**IMAGENET, "MODEL.MIT.NORM_EPS": 1e-6},
            refused=refused,
        )
        for name, marks, refused in (
            (
                "MMSegmentation SegFormer",
                (r"^decode_head\.",),
                "its head has a norm and an activation behind each linear layer",
            ),
            ("MMSegmentation's Mix Transformer", (), ""),
        )
    ),
    *_formats(
        "MMSegmentation Semantic FPN",
        r"^decode_head\.scale_heads\.0\.0\.conv\.",
        _FPN_HEAD,
        neck=(Part("neck.", "backbone.", _FPN_NECK),),
    ),
    *_formats("MMSegmentation UPerNet", r"^decode_head\.fpn_bottleneck\.conv\.", UPERNET),
    *_formats("MMSegmentation PSPNet", r"^decode_head\.psp_modules\.0\.1\.conv\.", _PSP),
    *_formats(
        "MMSegmentation DeepLabV3",
        r"^decode_head\.image_pool\.1\.conv\.",
        _ASPP,
        unused=((r"^decode_head\.bottleneck\.", "3x3 pixels there and 1x1 here"),),
        refused="the layer behind ASPP's branches has 3x3 pixels, and 1x1 here",
    ),
    *_formats(
        "MMSegmentation",
        r"^decode_head\.(conv_seg|convs)\.",
        unused=(_OTHER_HEAD,),
        refused="its head has other layers than those here",
    ),
)
