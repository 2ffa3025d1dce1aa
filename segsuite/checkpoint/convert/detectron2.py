"""Caffe2's names, in which Detectron and the first files of Detectron2's model zoo are written.

Detectron2's own names are ours and need no conversion.
"""

from __future__ import annotations

from .formats import IMAGENET_CLASSIFIER, NOT_A_WEIGHT, Format, Part, Rules, Settings, Weights
from .pixels import CAFFE, CAFFE_DIVIDED
from .torchvision_detection import BACKGROUND_FIRST

_LEAF: Rules = (
    (r"\.(bn|gn)_s$", ".norm.weight"),
    (r"\.(bn|gn)_b$", ".norm.bias"),
    (r"\.bn_rm$", ".norm.running_mean"),
    (r"\.bn_riv$", ".norm.running_var"),
    (r"\.w$", ".weight"),
    (r"\.b$", ".bias"),
)
_RESNET: Rules = (
    (r"^(res_)?conv1_", "stem.conv1."),
    (r"^(res\d)_(\d+)_branch1_", r"\1.\2.shortcut."),
    *(
        (rf"^(res\d)_(\d+)_branch2{letter}_", rf"\1.\2.conv{i}.")
        for i, letter in enumerate("abc", start=1)
    ),
)
_HEADS: Rules = (
    # Named after the last block of each stage of ResNet-50 or 101.
    *(
        (rf"^fpn_inner_res{k}_\d+_sum(_lateral)?_", f"backbone.fpn_lateral{k}.")
        for k in range(2, 6)
    ),
    *((rf"^fpn_res{k}_\d+_sum_", f"backbone.fpn_output{k}.") for k in range(2, 6)),
    (r"^conv_rpn(_fpn2)?_", "proposal_generator.rpn_head.conv."),
    (r"^rpn_cls_logits(_fpn2)?_", "proposal_generator.rpn_head.objectness_logits."),
    (r"^rpn_bbox_pred(_fpn2)?_", "proposal_generator.rpn_head.anchor_deltas."),
    (r"^fc6_", "roi_heads.box_head.fc1."),
    (r"^fc7_", "roi_heads.box_head.fc2."),
    (r"^head_conv(\d)_", r"roi_heads.box_head.conv\1."),
    (r"^(cls_score|bbox_pred)_", r"roi_heads.box_predictor.\1."),
    (r"^_\[mask\]_fcn(\d)_", r"roi_heads.mask_head.mask_fcn\1."),
    (r"^conv5_mask_", "roi_heads.mask_head.deconv."),
    (r"^mask_fcn_logits_", "roi_heads.mask_head.predictor."),
)


_UNUSED = (
    (r"^(fc1000|pred)_", IMAGENET_CLASSIFIER),
    (r"_momentum$", "the optimiser's"),
    (r"^(lr|model_iter)$|^__", NOT_A_WEIGHT),
)


def _settings(weights: Weights) -> Settings:
    """The ResNets are those of the original's authors, the ResNeXts were trained in Caffe2."""
    kernels = [w for n, w in weights.items() if n.endswith("res2.0.conv2.weight") and w.dim() == 4]
    is_resnext = any(kernel.shape[0] != kernel.shape[1] for kernel in kernels)
    pixels = CAFFE_DIVIDED if is_resnext else CAFFE
    return {
        **pixels,
        "MODEL.RESNETS.STRIDE_IN_1X1": not is_resnext,
        "MODEL.RESNETS.NORM": "FrozenBN",
    }


FORMATS = (
    Format(
        "Mask R-CNN with Caffe2's names",
        marks=(r"^res2_0_branch2a_w", r"^fpn_res2_2_sum_w", r"^cls_score_w"),
        parts=(
            Part("", "", (*_HEADS, *_RESNET, (r"^(stem|res)", r"backbone.bottom_up.\1"), *_LEAF)),
        ),
        unused=_UNUSED,
        values=BACKGROUND_FIRST,
        settings=_settings,
    ),
    Format(
        "ResNet with Caffe2's names",
        marks=(r"^res2_0_branch2a_w", r"^conv1_w"),
        parts=(Part("", "", (*_RESNET, *_LEAF)),),
        unused=_UNUSED,
        settings=_settings,
    ),
)
