"""timm's checkpoints of networks that are built here: ResNet-D and VGG. (Its plain ResNet has
torchvision's names; a model built by `TimmBackbone` takes timm's files as they are.)"""

from __future__ import annotations

from .formats import RESNET, Format, Part

FORMATS = (
    Format(
        "ResNet-D of timm",
        marks=(r"^conv1\.0\.weight", r"^layer1\.0\.downsample\.1\.weight"),
        # In the shortcut, 0 is the pooling.
        parts=(
            Part(
                "",
                "",
                (
                    (r"\.downsample\.1\.", ".downsample.0."),
                    (r"\.downsample\.2\.", ".downsample.1."),
                    (r"^bn1\.", "stem.conv3.norm."),
                    *RESNET,
                ),
            ),
        ),
        unused=((r"^fc\.", "the ImageNet classifier"),),
    ),
)
