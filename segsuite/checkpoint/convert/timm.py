"""timm's checkpoints of networks that are built here: ResNet-D and VGG. (HRNet: see hrnet.py.)

Its plain ResNet has torchvision's names; a model built by `TimmBackbone` takes timm's files as
they are.
"""

from __future__ import annotations

from .formats import IMAGENET_CLASSIFIER, RESNET, Format, Part

_RESNET_D = (
    # In the shortcut, 0 is the pooling.
    (r"\.downsample\.1\.", ".downsample.0."),
    (r"\.downsample\.2\.", ".downsample.1."),
    (r"^bn1\.", "stem.conv3.norm."),
    *RESNET,
)

FORMATS = (
    Format(
        "ResNet-D of timm",
        marks=(r"^conv1\.0\.weight", r"^layer1\.0\.downsample\.1\.weight"),
        parts=(Part("", "", _RESNET_D),),
        unused=((r"^fc\.", IMAGENET_CLASSIFIER),),
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
    ),
)
