"""The checkpoints of DRN's authors: ImageNet classifiers, and segmentation networks, which number
the layers of the classifier."""

from __future__ import annotations

from .formats import IMAGENET_CLASSIFIER, Format, Part
from .pixels import IMAGENET

# The first of layer7's blocks without a shortcut has the weights of one in DRN-C-58.
_SHORTCUT = "of a shortcut that is left out"
_SEGMENTATION = (
    (r"^base\.9\.0\.downsample\.", _SHORTCUT),
    (r"^up\.", "fixed bilinear weights: logits are interpolated here"),
)
# How the authors normalise Cityscapes.
_CITYSCAPES = {
    "MODEL.PIXEL_MEAN": [73.98, 83.66, 73.18],
    "MODEL.PIXEL_STD": [46.65, 47.57, 47.04],
    "INPUT.FORMAT": "RGB",
}
_PREDICTOR = Part("seg.", "sem_seg_head.predictor.")

FORMATS = (
    Format(
        "DRN-C",
        # The activation is number 2.
        marks=(r"^base\.1\.running_mean", r"^base\.10\.0\.conv1\.weight"),
        parts=(
            *(Part(f"base.{i}.", f"backbone.{name}.") for i, name in enumerate(("conv1", "bn1"))),
            *(Part(f"base.{i + 2}.", f"backbone.layer{i}.") for i in range(1, 9)),
            _PREDICTOR,
        ),
        unused=_SEGMENTATION,
        settings=lambda weights: dict(_CITYSCAPES),
    ),
    Format(
        "DRN-D",
        marks=(r"^base\.0\.0\.weight", r"^base\.8\.0\.weight"),
        parts=(*(Part(f"base.{i}.", f"backbone.layer{i}.") for i in range(9)), _PREDICTOR),
        unused=_SEGMENTATION[1:],
        settings=lambda weights: dict(_CITYSCAPES),
    ),
    Format(
        "DRN, ImageNet classifier",
        marks=(r"^layer8\.0\.", r"^layer6\.0\.conv1\.weight"),
        parts=(Part("", ""),),
        unused=((r"^fc\.", IMAGENET_CLASSIFIER), (r"^layer7\.0\.downsample\.", _SHORTCUT)),
        settings=lambda weights: dict(IMAGENET),
    ),
)
