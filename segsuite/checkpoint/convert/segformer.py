"""SegFormer's checkpoints, of the authors (and MMSegmentation's of that time) and of
segmentation_models.pytorch. (ImageNet weights of the encoder have our names.)"""

from __future__ import annotations

from .formats import CONV_NORM, Format, Part

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
    ),
    Format(
        "segmentation_models.pytorch SegFormer",
        marks=(r"^encoder\.patch_embed1\.proj\.weight", r"^decoder\.mlp_stage\.0\.linear\.weight"),
        parts=(
            Part("encoder.", "backbone."),
            Part("decoder.fuse_stage.", "sem_seg_head.linear_fuse.", CONV_NORM),
            # There from the coarsest feature on, here from the finest.
            *(
                Part(f"decoder.mlp_stage.{i}.linear.", f"sem_seg_head.linear_c{4 - i}.proj.")
                for i in range(4)
            ),
            Part("segmentation_head.0.", "sem_seg_head.linear_pred."),
        ),
    ),
)
