"""segmentation_models.pytorch's checkpoints, with ResNet encoders."""

from __future__ import annotations

from .formats import CONV_NORM, RESNET, Format, Part

_ENCODER = Part("encoder.", "backbone.", RESNET)
_UNUSED = ((r"^classification_head\.", "the auxiliary classifier of whole images"),)

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
