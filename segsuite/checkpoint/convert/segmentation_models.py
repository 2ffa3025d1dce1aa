"""segmentation_models.pytorch's checkpoints: its decoders that exist here, on its encoders that do.

What does not exist here is recognised too, so that it can be refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from .formats import CONV_NORM, RESNET, Format, Part, Rules, Settings
from .pixels import IMAGENET
from .timm import RESNET_D
from .torchvision import ASPP

_LIBRARY = "segmentation_models.pytorch"
_PREDICTOR = Part("segmentation_head.0.", "sem_seg_head.predictor.")
_CLASSIFIER = (r"^classification_head\.", "the auxiliary classifier of whole images")


_ENCODER = Part("encoder.", "backbone.")


@dataclass(frozen=True)
class _Encoder:
    """Attributes: see `Format`; `mark` tells it from the others."""

    name: str
    mark: str
    part: Part = _ENCODER
    refused: str = ""
    settings: Settings = field(default_factory=dict)


@dataclass(frozen=True)
class _Decoder:
    """Attributes: see `Format`; `mark` tells it from the others."""

    name: str
    mark: str
    parts: tuple[Part, ...] = ()
    values: tuple[tuple[str, Callable[[torch.Tensor], torch.Tensor]], ...] = ()
    settings: Settings = field(default_factory=dict)
    refused: str = ""


_RESNET = {"MODEL.RESNETS.STRIDE_IN_1X1": False, "MODEL.RESNETS.AVG_DOWN": False}
_TIMM = _Encoder("timm's", r"^encoder\.model\.", Part("encoder.model.", "backbone.net."))
# timm's ResNets are built here too, and only then can be dilated.
_TIMM_RESNETS = (
    _Encoder(
        "timm's ResNet-D",
        r"^encoder\.model\.layer2\.0\.downsample\.2\.weight",
        Part("encoder.model.", "backbone.", RESNET_D),
        settings={**_RESNET, "MODEL.RESNETS.AVG_DOWN": True},
    ),
    _Encoder(
        "timm's ResNet",
        r"^encoder\.model\.conv1\.weight",
        Part("encoder.model.", "backbone.", RESNET),
        settings=_RESNET,
    ),
)
# The first that fits counts.
_ENCODERS = (
    _Encoder(
        "Mix Transformer",
        r"^encoder\.patch_embed1\.proj\.weight",
        settings={"MODEL.MIT.NORM_EPS": 1e-6},
    ),
    _Encoder(
        "SENet",
        r"^encoder\.layer1\.0\.se_module\.",
        Part("encoder.", "backbone.", RESNET),
        refused="its encoder weights channels by squeeze and excitation",
    ),
    _Encoder(
        "SKNet",
        r"^encoder\.layer1\.0\.conv\d\.(paths|attn)\.",
        Part("encoder.", "backbone.", RESNET),
        refused="its encoder selects kernels by attention",
    ),
    _Encoder(
        "ResNet",
        r"^encoder\.layer1\.0\.conv1\.weight",
        Part("encoder.", "backbone.", RESNET),
        settings=_RESNET,
    ),
    _Encoder("VGG", r"^encoder\.features\.[0-4]\.weight"),
    _Encoder(
        "EfficientNet",
        r"^encoder\.conv_stem\.weight",
        Part("encoder.", "backbone.net."),
    ),
    _Encoder(
        "another",
        r"^encoder\.",
        refused="its encoder is not built here; timm may have it, and then it is 'tu-NAME' there",
    ),
)

# There from the coarsest feature on, here from the finest.
_UPERNET: Rules = (
    (r"^psp\.blocks\.(\d)\.1\.", r"pooling.convs.\1."),
    (r"^psp\.out_conv\.", "pooling_conv."),
    *(
        (rf"^fpn_lateral_blocks\.{i}\.conv_norm_relu\.", f"lateral_convs.{2 - i}.")
        for i in range(3)
    ),
    *((rf"^fpn_conv_blocks\.{i}\.", f"output_convs.{2 - i}.") for i in range(3)),
    (r"^fusion_block\.", "fusion_conv."),
    (r"conv(s\.\d)?\.0\.(\w+)$", r"conv\1.\2"),
    (r"conv(s\.\d)?\.1\.(\w+)$", r"conv\1.norm.\2"),
)
_PSP: Rules = ((r"^psp\.blocks\.(\d)\.pool\.1\.", r"pyramid.\1."), *CONV_NORM)
_ASPP: Rules = tuple((rf"^aspp\.{pattern}", f"aspp.{new}") for pattern, new in ASPP)
_DEEPLAB: Rules = (
    # Before version 0.4 the decoder was a sequence.
    (r"^0\.", "aspp."),
    (r"^(conv|1)\.weight$", "convs.0.weight"),
    (r"^(bn|2)\.", "convs.0.norm."),
    *_ASPP,
)


def _centred_and_feature_first(kernel: torch.Tensor) -> torch.Tensor:
    """The 1x1 convolution of grids and feature as the centre of a 3x3 one of feature and grids."""
    out_channels, in_channels = kernel.shape[:2]
    large = kernel.new_zeros(out_channels, in_channels, 3, 3)
    large[:, :, 1, 1] = kernel[:, :, 0, 0].roll(in_channels // 2, dims=1)
    return large


# Scores are enlarged with the corners aligned by the model itself, where it does not end at the
# size of its images anyway.
_ALIGNED = {"MODEL.SEM_SEG_HEAD.ALIGN_CORNERS": True}
_DILATED = {
    "MODEL.RESNETS.RES4_DILATION": 2,
    "MODEL.RESNETS.RES5_DILATION": 4,
    "MODEL.RESNETS.DILATE_FIRST_BLOCK": True,
    "MODEL.SEM_SEG_HEAD.ASPP_DILATIONS": [12, 24, 36],
    "MODEL.SEM_SEG_HEAD.ASPP_POOL_TRAIN_CROP": False,
}

# Those that look alike but are not stand before those that they look like.
_DECODERS = (
    _Decoder(
        "U-Net with attention (scse)",
        r"^decoder\.blocks\.(\d+|x_\d_\d)\.attention[12]\.attention\.",
        refused="its decoder weights channels and pixels by scse attention",
    ),
    _Decoder(
        "MAnet",
        r"^decoder\.(blocks\.\d+\.(hl_conv|SE_[lh]l)|center\.(top|bottom|center)_conv)\.",
        refused="its decoder has attention that is not built here",
    ),
    _Decoder("U-Net++", r"^decoder\.blocks\.x_\d_\d\.", refused="its decoder is not built here"),
    _Decoder("Linknet", r"^decoder\.blocks\.0\.block\.", refused="its decoder is not built here"),
    _Decoder(
        "FPN",
        r"^decoder\.seg_blocks\.",
        refused="its pyramid has no 3x3 convolutions and aligns corners, unlike Panoptic FPN's",
    ),
    _Decoder("PAN", r"^decoder\.(fpa|gau\d)\.", refused="its decoder is not built here"),
    _Decoder(
        "DPT",
        r"^decoder\.(projection_blocks|reassemble_blocks|fusion_blocks)\.",
        refused="its decoder is not built here",
    ),
    _Decoder(
        "DeepLabV3+",
        r"^decoder\.block2\.0\.",
        refused="its decoder has a layer more behind ASPP, and separable convolutions without a "
        "norm between their halves",
    ),
    _Decoder(
        "DeepLabV3 with separable convolutions",
        r"^decoder\.(aspp|0)\.convs\.1\.0\.0\.weight",
        refused="its separable convolutions have no norm between their halves",
    ),
    _Decoder(
        "U-Net with a centre",
        r"^decoder\.center\.",
        refused="its decoder has two convolutions on the coarsest feature, as all on VGG there",
    ),
    _Decoder(
        "SegFormer of five features",
        r"^decoder\.mlp_stage\.4\.",
        refused="its head reads a feature of stride 2 too, and gives scores of stride 4",
    ),
    _Decoder(
        "U-Net",
        r"^decoder\.blocks\.0\.conv1\.0\.weight",
        (Part("decoder.", "sem_seg_head.", CONV_NORM), _PREDICTOR),
        settings={"MODEL.SEM_SEG_HEAD.UPSAMPLING": "nearest"},
    ),
    _Decoder(
        "PSPNet",
        r"^decoder\.psp\.blocks\.0\.pool\.1\.0\.weight",
        (Part("decoder.", "sem_seg_head.", _PSP), _PREDICTOR),
        ((r"^sem_seg_head\.conv\.weight$", _centred_and_feature_first),),
        {**_ALIGNED, "MODEL.SEM_SEG_HEAD.POOL_ALIGN_CORNERS": True},
    ),
    _Decoder(
        "UPerNet",
        r"^decoder\.fpn_lateral_blocks\.0\.",
        (Part("decoder.", "sem_seg_head.", _UPERNET), _PREDICTOR),
        settings={**_ALIGNED, "MODEL.UPERNET.FEATURE_NORM_EPS": 1e-6},
    ),
    _Decoder(
        "DeepLabV3",
        r"^decoder\.(aspp|0)\.convs\.4\.1\.weight",
        (Part("decoder.", "sem_seg_head.", _DEEPLAB), _PREDICTOR),
        settings={**_ALIGNED, **_DILATED},
    ),
    _Decoder(
        "SegFormer",
        r"^decoder\.mlp_stage\.0\.linear\.weight",
        (
            Part("decoder.fuse_stage.", "sem_seg_head.linear_fuse.", CONV_NORM),
            *(
                Part(f"decoder.mlp_stage.{i}.linear.", f"sem_seg_head.linear_c{4 - i}.proj.")
                for i in range(4)
            ),
            Part("segmentation_head.0.", "sem_seg_head.linear_pred."),
        ),
        settings=_ALIGNED,
    ),
    _Decoder(
        "with another decoder",
        r"^(decoder|segmentation_head)\.",
        refused="its decoder is of none that are known",
    ),
)


def _format(decoder: _Decoder, encoder: _Encoder) -> Format:
    body = () if encoder.name == "another" else (encoder.part,)
    settings = {**IMAGENET, **encoder.settings, **decoder.settings}
    dilated, of_timm = "", encoder in _TIMM_RESNETS
    bottlenecks: tuple[str, ...] = ()
    if "MODEL.RESNETS.DILATE_FIRST_BLOCK" in settings:
        # timm dilates its encoders itself.
        settings["MODEL.RESNETS.DILATE_FIRST_BLOCK"] = not of_timm
        if of_timm:
            bottlenecks = (r"^encoder\.model\.layer1\.0\.conv3\.weight",)
        if encoder not in (*_TIMM_RESNETS, *(e for e in _ENCODERS if e.name == "ResNet")):
            dilated = "its encoder is dilated, and here only ResNets are, of timm's the deeper ones"
        if settings.get("MODEL.RESNETS.AVG_DOWN"):
            dilated = (
                "its encoder is dilated, and shortcuts of timm's ResNet-D then average otherwise"
            )
    refused = "; ".join(filter(None, (decoder.refused, encoder.refused, dilated)))
    left_out = ((r"^(decoder|segmentation_head)\.", refused),) if refused else ()
    return Format(
        f"{_LIBRARY} {decoder.name}",
        marks=(encoder.mark, decoder.mark, r"^segmentation_head\.", *bottlenecks),
        parts=(*body, *decoder.parts),
        unused=(_CLASSIFIER, *left_out),
        values=decoder.values,
        settings=lambda weights: {**settings},
        refused=refused,
    )


def _encoders(decoder: _Decoder) -> tuple[_Encoder, ...]:
    if "MODEL.RESNETS.DILATE_FIRST_BLOCK" not in decoder.settings:
        return (_TIMM, *_TIMM_RESNETS, *_ENCODERS)
    return (*_TIMM_RESNETS, _TIMM, *_ENCODERS)


FORMATS = tuple(
    _format(decoder, encoder) for decoder in _DECODERS for encoder in _encoders(decoder)
)
