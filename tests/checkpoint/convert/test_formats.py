"""Published names of every library become names of our models, none missing or left over."""

import re

import pytest
import torch

from segsuite.checkpoint import convert
from segsuite.checkpoint.convert.formats import Format, Part, apply_format
from segsuite.config import load_config
from segsuite.layers import ShapeSpec
from segsuite.modeling import META_ARCH_REGISTRY
from segsuite.modeling.backbone import VGG, HRNet, ResNet
from segsuite.modeling.sem_seg import PSPHead, UPerNetHead
from tests.helpers import REPO, requires_parity
from tests.parity import ROOT

RES = ["res2", "res3", "res4", "res5"]


def own_names(**modules):
    return {
        f"{prefix}.{name}": tuple(tensor.shape)
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }


def published(case):
    """Names and shapes of a checkpoint, without memory."""
    state = {}
    for line in (ROOT / f"{case}.keys.txt").read_text().splitlines():
        name, _, shape = line.split("\t")
        sizes = [int(n) for n in shape.split("x")] if shape != "-" else []
        state[name] = torch.empty(sizes, device="meta")
    return state


def shapes(weights):
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


@requires_parity
@pytest.mark.parametrize(
    "case, source, unused",
    [
        ("smp_unet_resnet34", "segmentation_models.pytorch U-Net", ""),
        ("smp_pspnet_resnet50", "segmentation_models.pytorch PSPNet", ""),
        ("smp_upernet_resnet50", "segmentation_models.pytorch UPerNet", ""),
        ("smp_segformer_mit_b0", "segmentation_models.pytorch SegFormer", ""),
        ("smp_fpn_resnet50", "segmentation_models.pytorch FPN", "decoder|segmentation_head"),
        (
            "smp_deeplabv3plus_resnet50",
            "segmentation_models.pytorch DeepLabV3+",
            "decoder|segmentation_head",
        ),
        ("smp_deeplabv3_resnet50", "segmentation_models.pytorch DeepLabV3", ""),
        ("smp_unet_mit_b0", "segmentation_models.pytorch U-Net", ""),
        ("smp_unet_tu_convnext_tiny", "segmentation_models.pytorch U-Net", ""),
        ("tv_fasterrcnn_resnet50_fpn", "torchvision Faster R-CNN", ""),
        ("hf_segformer_b0", "transformers SegFormer", ""),
        ("hf_upernet_convnext_tiny", "transformers UPerNet on ConvNeXt", ""),
        (
            "timm_hrnet_w18",
            "HRNet",
            "incre_modules|downsamp_modules|final_layer|classifier",
        ),
        ("timm_vgg16_bn", "VGG of timm", "head"),
        ("timm_resnet50_os8", "ResNet of torchvision or timm", "fc"),
    ],
)
def test_source_is_recognised(case, source, unused):
    conversion = convert(published(case))
    assert conversion.source == source
    assert all(re.match(unused, name) for name, _ in conversion.unused)
    assert bool(conversion.unused) == bool(unused)


@requires_parity
@pytest.mark.parametrize(
    "case, build",
    [
        ("timm_hrnet_w18", lambda: {"backbone": HRNet(width=18, out_features=RES)}),
        ("timm_vgg16_bn", lambda: {"backbone": VGG(depth=16, norm="BN", out_features=["fc7"])}),
        ("timm_resnet50_os8", lambda: {"backbone": ResNet(depth=50)}),
    ],
)
def test_backbones_are_filled(case, build):
    with torch.device("meta"):
        own = own_names(**build())
    assert shapes(convert(published(case), own).weights) == own


@requires_parity
@pytest.mark.parametrize("case", ["d2_mask_rcnn_R_50_FPN_1x", "d2_deeplab_v3_R_103"])
def test_detectron2_s_names_are_ours(case):
    state = published(case)
    conversion = convert(state)
    assert (conversion.source, conversion.weights) == ("", state)


def test_caffe2_names_of_mask_rcnn():
    """Made from the names of the model, the other way round, and back."""
    cfg = load_config(REPO / "configs/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml")
    with torch.device("meta"):
        own = META_ARCH_REGISTRY.get("GeneralizedRCNN")(cfg).state_dict()
    state = {}
    last_block = {2: 2, 3: 3, 4: 5, 5: 2}
    for name, tensor in own.items():
        if re.search("running_|pixel_", name):  # Caffe2's norms are a scale and a shift
            continue
        name = re.sub(r"norm\.weight$", "bn_s", name)
        name = re.sub(r"norm\.bias$", "bn_b", name)
        name = name.replace(".weight", ".w").replace(".bias", ".b")
        name = name.replace("backbone.bottom_up.stem.conv1.bn", "res_conv1_bn")
        name = name.replace("backbone.bottom_up.stem.conv1.w", "conv1_w")
        name = name.replace("backbone.bottom_up.", "").replace("shortcut.", "branch1_")
        name = re.sub(r"^(res\d)\.(\d)\.", r"\1_\2_", name)
        name = re.sub(r"conv([123])\.", lambda m: f"branch2{'abc'[int(m[1]) - 1]}_", name)
        for k, block in last_block.items():
            lateral = f"fpn_inner_res{k}_{block}_sum" + ("_lateral" if k < 5 else "")
            name = name.replace(f"backbone.fpn_lateral{k}", lateral)
            name = name.replace(f"backbone.fpn_output{k}", f"fpn_res{k}_{block}_sum")
        name = name.replace("proposal_generator.rpn_head.", "")
        name = name.replace("objectness_logits", "rpn_cls_logits_fpn2")
        name = name.replace("anchor_deltas", "rpn_bbox_pred_fpn2")
        name = re.sub(r"^conv\.", "conv_rpn_fpn2_", name)
        name = name.replace("roi_heads.box_head.fc1", "fc6").replace(
            "roi_heads.box_head.fc2", "fc7"
        )
        name = name.replace("roi_heads.box_predictor.", "")
        name = re.sub(r"roi_heads\.mask_head\.mask_fcn(\d)", r"_[mask]_fcn\1", name)
        name = name.replace("roi_heads.mask_head.deconv", "conv5_mask")
        name = name.replace("roi_heads.mask_head.predictor", "mask_fcn_logits")
        rows = {"bbox_pred": 4, "mask_fcn_logits": 1}.get(name.partition(".")[0], 0)
        shape = list(tensor.shape)
        shape[0] += rows
        state[re.sub(r"\.(w|b|bn_s|bn_b)$", r"_\1", name)] = torch.empty(shape, device="meta")
    assert {"conv1_w", "res2_0_branch2a_bn_s", "_[mask]_fcn1_w", "cls_score_b"} <= state.keys()
    conversion = convert({**state, "lr": torch.zeros(1), "conv1_w_momentum": torch.zeros(1)})
    assert conversion.source == "Mask R-CNN with Caffe2's names"
    expected = {n: t for n, t in shapes(own).items() if not re.search("running_|pixel_", n)}
    assert shapes(conversion.weights) == expected
    assert [why for _, why in conversion.unused] == ["not a weight", "the optimiser's"]


def test_caffe2_names_of_resnet():
    names = [
        *("conv1_w", "res_conv1_bn_s", "res_conv1_bn_b", "res2_0_branch1_w", "res2_0_branch1_bn_s"),
        *("res2_0_branch2a_w", "res3_1_branch2c_bn_riv", "fc1000_w"),
    ]
    conversion = convert({name: torch.zeros(1) for name in names})
    assert list(conversion.weights) == [
        *("stem.conv1.weight", "stem.conv1.norm.weight", "stem.conv1.norm.bias"),
        *("res2.0.shortcut.weight", "res2.0.shortcut.norm.weight", "res2.0.conv1.weight"),
        "res3.1.conv3.norm.running_var",
    ]


def conv_module(prefix, own_prefix, own):
    """MMSegmentation's names of one of our convolutions with a norm."""
    return {
        f"{prefix}.{'bn' if name.startswith('norm.') else 'conv'}.{name.removeprefix('norm.')}": n
        for full, n in own.items()
        if full.startswith(own_prefix + ".") and (name := full.removeprefix(own_prefix + "."))
    }


@pytest.mark.parametrize(
    "head, pooled, renamed",
    [
        (PSPHead, "pyramid", {"conv": "bottleneck"}),
        (
            UPerNetHead,
            "pooling.convs",
            {
                "pooling_conv": "bottleneck",
                "fusion_conv": "fpn_bottleneck",
                **{f"lateral_convs.{i}": f"lateral_convs.{i}" for i in range(3)},
                **{f"output_convs.{i}": f"fpn_convs.{i}" for i in range(3)},
            },
        ),
    ],
)
def test_mmsegmentation(head, pooled, renamed):
    backbone_shapes = {name: ShapeSpec(8 * 2**i, 4 * 2**i) for i, name in enumerate(RES)}
    features = RES if head is UPerNetHead else ["res5"]
    with torch.device("meta"):
        own = head(input_shape=backbone_shapes, in_features=features, num_classes=3).state_dict()
    state = {
        "backbone.layer1.0.conv1.weight": torch.zeros(1),
        "backbone.stem.7.bias": torch.zeros(1),
    }
    for theirs, ours in [("conv_seg", "predictor")]:
        state |= {f"decode_head.{theirs}.{k}": own[f"{ours}.{k}"] for k in ("weight", "bias")}
    for i in range(4):
        state |= conv_module(f"decode_head.psp_modules.{i}.1", f"{pooled}.{i}", own)
    for ours, theirs in renamed.items():
        state |= conv_module(f"decode_head.{theirs}", ours, own)
    conversion = convert(state)
    assert conversion.source == f"MMSegmentation {'PSPNet' if head is PSPHead else 'UPerNet'}"
    names = {"backbone.res2.0.conv1.weight", "backbone.stem.conv3.norm.bias"}
    assert conversion.weights.keys() == names | {f"sem_seg_head.{name}" for name in own}


def test_two_names_that_become_one():
    fmt = Format("x", (), (Part("", "", ((r"\d", ""),)),))
    with pytest.raises(ValueError, match="'a2' and 'a1' both become 'a'"):
        apply_format(fmt, {"a1": torch.zeros(1), "a2": torch.zeros(1)})
