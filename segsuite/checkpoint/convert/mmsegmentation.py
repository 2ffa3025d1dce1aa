"""MMSegmentation's checkpoints on ResNetV1c (three convolutions in the stem), plain ResNet, HRNet
and Mix Transformers."""

from __future__ import annotations

from .formats import RESNET, Format, Part, Weights
from .hrnet import BACKBONE as _HRNET
from .hrnet import BACKBONE_MARK

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


def _format(name: str, mark: str, rules: tuple = (), unused: tuple = ()) -> Format:
    head = (Part("decode_head.", "sem_seg_head.", rules),) if rules else ()
    parts = (
        Part("backbone.", "backbone.", _RESNET),
        *head,
        Part("auxiliary_head.", "aux_head.", _AUX),
    )
    return Format(name, marks=(_RESNET_MARK, mark), parts=parts, unused=unused)


def _hrnet(name: str, mark: str, *heads: Part) -> Format:
    parts = (Part("backbone.", "backbone.", _HRNET), *heads)
    return Format(name, marks=(rf"^backbone\.{BACKBONE_MARK}", mark), parts=parts)


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
    Format(
        "MMSegmentation SegFormer",
        marks=(r"layers\.0\.0\.projection\.weight", r"layers\.0\.1\.0\.attn\.attn\.in_proj_weight"),
        parts=(
            Part("backbone.", "backbone.", _MIT),
            Part("layers.", "", ((r"^", "layers."), *_MIT)),
        ),
        # A norm and an activation behind each linear layer.
        unused=(_OTHER_HEAD,),
        values=((r"\.mlp\.fc\d\.weight$", lambda w: w.flatten(1)),),
        finish=_queries_apart,
    ),
    Format(
        "MMSegmentation Semantic FPN",
        marks=(_RESNET_MARK, r"^decode_head\.scale_heads\.0\.0\.conv\."),
        parts=(
            Part("backbone.", "backbone.bottom_up.", _RESNET),
            Part("neck.", "backbone.", _FPN_NECK),
            Part("decode_head.", "sem_seg_head.", _FPN_HEAD),
        ),
    ),
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
        unused=(_OTHER_HEAD,),
    ),
)
