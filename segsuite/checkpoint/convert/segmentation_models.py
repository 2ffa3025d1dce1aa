"""segmentation_models.pytorch's checkpoints: U-Net, PSPNet, UPerNet, and the ResNet encoders below
other decoders. (SegFormer is in a file of its own.)"""

from __future__ import annotations

import torch

from .formats import CONV_NORM, RESNET, Format, Part

_RESNET_MARK = r"^encoder\.layer1\.0\.conv1\.weight"
_ENCODER = Part("encoder.", "backbone.", RESNET)
# U-Net's and PSPNet's have 3x3 pixels: MODEL.SEM_SEG_HEAD.PREDICTOR_KERNEL_SIZE.
_PREDICTOR = Part("segmentation_head.0.", "sem_seg_head.predictor.")
_CLASSIFIER = (r"^classification_head\.", "the auxiliary classifier of whole images")

_PSP = ((r"^psp\.blocks\.(\d)\.pool\.1\.", r"pyramid.\1."), *CONV_NORM)
# Its layer norms on the encoder's features are here with MODEL.UPERNET.FEATURE_NORM "LN".
_UPERNET = (
    (r"^psp\.blocks\.(\d)\.1\.", r"pooling.convs.\1."),
    (r"^psp\.out_conv\.", "pooling_conv."),
    # There from the coarsest on, here from the finest.
    *(
        (rf"^fpn_lateral_blocks\.{i}\.conv_norm_relu\.", f"lateral_convs.{2 - i}.")
        for i in range(3)
    ),
    *((rf"^fpn_conv_blocks\.{i}\.", f"output_convs.{2 - i}.") for i in range(3)),
    (r"^fusion_block\.", "fusion_conv."),
    (r"conv(s\.\d)?\.0\.(\w+)$", r"conv\1.\2"),
    (r"conv(s\.\d)?\.1\.(\w+)$", r"conv\1.norm.\2"),
)


def _centred_and_feature_first(kernel: torch.Tensor) -> torch.Tensor:
    """The 1x1 convolution of grids and feature as the centre of a 3x3 one of feature and grids."""
    out_channels, in_channels = kernel.shape[:2]
    large = kernel.new_zeros(out_channels, in_channels, 3, 3)
    large[:, :, 1, 1] = kernel[:, :, 0, 0].roll(in_channels // 2, dims=1)
    return large


FORMATS = (
    Format(
        "segmentation_models.pytorch U-Net",
        marks=(_RESNET_MARK, r"^decoder\.blocks\.0\.conv1\.0\.weight"),
        parts=(_ENCODER, Part("decoder.", "sem_seg_head.", CONV_NORM), _PREDICTOR),
        unused=(_CLASSIFIER,),
    ),
    Format(
        "segmentation_models.pytorch PSPNet",
        marks=(_RESNET_MARK, r"^decoder\.psp\.blocks\.0\.pool\.1\.0\.weight"),
        parts=(_ENCODER, Part("decoder.", "sem_seg_head.", _PSP), _PREDICTOR),
        unused=(_CLASSIFIER,),
        values=((r"^sem_seg_head\.conv\.weight$", _centred_and_feature_first),),
    ),
    Format(
        "segmentation_models.pytorch UPerNet",
        marks=(_RESNET_MARK, r"^decoder\.fpn_lateral_blocks\.0\."),
        parts=(_ENCODER, Part("decoder.", "sem_seg_head.", _UPERNET), _PREDICTOR),
        unused=(_CLASSIFIER,),
    ),
    Format(
        "segmentation_models.pytorch",
        marks=(_RESNET_MARK, r"^decoder\.", r"^segmentation_head\."),
        parts=(_ENCODER,),
        unused=(
            _CLASSIFIER,
            (r"^(decoder|segmentation_head)\.", "a decoder that differs from those here"),
        ),
    ),
)
