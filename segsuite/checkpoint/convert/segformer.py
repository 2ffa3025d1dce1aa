"""SegFormer's checkpoints, of the authors and MMSegmentation's of that time. (ImageNet weights of
the encoder have our names.)"""

from __future__ import annotations

from .formats import Format, Part
from .pixels import IMAGENET

FORMATS = (
    Format(
        "SegFormer",
        marks=(r"^backbone\.patch_embed1\.proj\.weight", r"^decode_head\.linear_c1\.proj\.weight"),
        parts=(
            Part("backbone.", "backbone."),
            Part(
                "decode_head.",
                "sem_seg_head.",
                ((r"^linear_fuse\.conv\.", "linear_fuse."), (r"_fuse\.bn\.", "_fuse.norm.")),
            ),
        ),
        unused=((r"^decode_head\.conv_seg\.", "a layer that the authors' head does not use"),),
        settings=lambda weights: {**IMAGENET, "MODEL.MIT.NORM_EPS": 1e-6},
    ),
)
