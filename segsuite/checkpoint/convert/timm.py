"""timm's checkpoints of networks that are built here: ResNet-D and VGG. (HRNet: see hrnet.py.)

Its plain ResNet has torchvision's names; a model built by `TimmBackbone` takes timm's files as
they are.
"""

from __future__ import annotations

from .formats import IMAGENET_CLASSIFIER, RESNET, Format, Part
from .pixels import IMAGENET

_LAST_NORM_OF_STEM = (r"^bn1\.", "stem.conv3.norm.")
RESNET_D = (
    # In the shortcut, 0 is the pooling.
    (r"\.downsample\.1\.", ".downsample.0."),
    (r"\.downsample\.2\.", ".downsample.1."),
    _LAST_NORM_OF_STEM,
    *RESNET,
)

FORMATS = (
    Format(
        "ResNet-D of timm",
        marks=(r"^conv1\.0\.weight", r"^layer2\.0\.downsample\.2\.weight"),
        parts=(Part("", "", RESNET_D),),
        unused=((r"^fc\.", IMAGENET_CLASSIFIER),),
        settings=lambda weights: {
            **IMAGENET,
            "MODEL.RESNETS.STRIDE_IN_1X1": False,
            "MODEL.RESNETS.AVG_DOWN": True,
        },
    ),
    Format(
        "ResNet of timm with a stem of three convolutions",
        marks=(r"^conv1\.0\.weight", r"^bn1\.weight", r"^layer2\.0\.downsample\.0\.weight"),
        parts=(Part("", "", (_LAST_NORM_OF_STEM, *RESNET)),),
        unused=((r"^fc\.", IMAGENET_CLASSIFIER),),
        settings=lambda weights: {
            **IMAGENET,
            "MODEL.RESNETS.STRIDE_IN_1X1": False,
            "MODEL.RESNETS.AVG_DOWN": False,
        },
    ),
    Format(
        "VGG of timm",
        marks=(r"^features\.0\.weight", r"^pre_logits\.fc1\."),
        parts=(
            Part("features.", "features."),
            Part("pre_logits.fc1.", "fc6."),
            Part("pre_logits.fc2.", "fc7."),
        ),
        unused=((r"^head\.", IMAGENET_CLASSIFIER),),
        settings=lambda weights: dict(IMAGENET),
    ),
)
