"""segmentation_models.pytorch's checkpoints, with ResNet encoders."""

from __future__ import annotations

from .formats import CONV_NORM, RESNET, Format, Part

_ENCODER = Part("encoder.", "backbone.", RESNET)
_UNUSED = ((r"^classification_head\.", "the auxiliary classifier of whole images"),)

# Its layer norms on the encoder's features are here with MODEL.UPERNET.FEATURE_NORM "LN".
_UPERNET = (
    (r"^psp\.blocks\.(\d)\.1\.", r"pooling.convs.\1."),
    (r"^psp\.out_conv\.", "pooling_conv."),
    (r"^fusion_block\.", "fusion_conv."),
    # There from the coarsest feature on, here from the finest.
    *(
        (rf"^fpn_lateral_blocks\.{i}\.conv_norm_relu\.", f"lateral_convs.{2 - i}.")
        for i in range(3)
    ),
    *((rf"^fpn_conv_blocks\.{i}\.", f"output_convs.{2 - i}.") for i in range(3)),
    (r"(conv(?:s\.\d)?)\.1\.(\w+)$", r"\1.norm.\2"),
    (r"(conv(?:s\.\d)?)\.0\.(\w+)$", r"\1.\2"),
)

FORMATS = (
    Format(
        "segmentation_models.pytorch U-Net",
        marks=(r"^encoder\.layer1\.0\.conv1\.weight", r"^decoder\.blocks\.0\.conv1\.0\.weight"),
        parts=(
            _ENCODER,
            Part("decoder.", "sem_seg_head.", CONV_NORM),
            Part("segmentation_head.0.", "sem_seg_head.predictor."),
        ),
        unused=_UNUSED,
    ),
    Format(
        "segmentation_models.pytorch UPerNet",
        marks=(r"^encoder\.layer1\.0\.conv1\.weight", r"^decoder\.fpn_lateral_blocks\.0\."),
        parts=(
            _ENCODER,
            Part("decoder.", "sem_seg_head.", _UPERNET),
            Part("segmentation_head.0.", "sem_seg_head.predictor."),
        ),
        unused=_UNUSED,
    ),
    # Decoders that are built otherwise here: the encoder alone.
    Format(
        "segmentation_models.pytorch",
        marks=(r"^encoder\.layer1\.0\.conv1\.weight", r"^decoder\.", r"^segmentation_head\."),
        parts=(_ENCODER,),
        unused=(
            *_UNUSED,
            (r"^(decoder|segmentation_head)\.", "a decoder that differs from those here"),
        ),
    ),
)
