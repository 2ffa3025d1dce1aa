"""Names of MMSegmentation's and the authors' heads, by the layers their sources define."""

import torch

from segsuite.checkpoint import convert
from segsuite.layers import ShapeSpec
from segsuite.modeling.sem_seg import SegFormerHead, UPerNetHead

SHAPES = {f"res{i}": ShapeSpec(8 * i, 2**i) for i in (2, 3, 4, 5)}


def norm(name):
    leaves = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return [f"{name}.{leaf}" for leaf in leaves]


def conv_modules(*names):
    return [key for name in names for key in [f"{name}.conv.weight", *norm(f"{name}.bn")]]


def converted(names, head, source):
    with torch.device("meta"):
        head = head(input_shape=SHAPES, in_features=list(SHAPES), num_classes=2)
    conversion = convert({name: torch.zeros(1) for name in names})
    assert conversion.source == source
    prefix = "sem_seg_head."
    got = {n.removeprefix(prefix) for n in conversion.weights if n.startswith(prefix)}
    assert got == set(head.state_dict())
    return conversion.origins


def test_upernet_of_mmsegmentation():
    head = conv_modules(
        *(f"psp_modules.{i}.1" for i in range(4)),
        *("bottleneck", "fpn_bottleneck"),
        *(f"{layer}.{i}" for layer in ("lateral_convs", "fpn_convs") for i in range(3)),
    )
    head += ["conv_seg.weight", "conv_seg.bias"]
    names = ["backbone.layer1.0.conv1.weight", *(f"decode_head.{name}" for name in head)]
    origins = converted(names, UPerNetHead, "MMSegmentation UPerNet")
    conv = "sem_seg_head.output_convs.2"
    assert origins[f"{conv}.weight"] == "decode_head.fpn_convs.2.conv.weight"
    assert origins["sem_seg_head.fusion_conv.norm.bias"] == "decode_head.fpn_bottleneck.bn.bias"


def test_segformer_of_the_authors():
    head = [f"linear_c{i}.proj.{leaf}" for i in (1, 2, 3, 4) for leaf in ("weight", "bias")]
    head += [*conv_modules("linear_fuse"), "linear_pred.weight", "linear_pred.bias"]
    head += ["conv_seg.weight", "conv_seg.bias"]
    names = ["backbone.patch_embed1.proj.weight", *(f"decode_head.{name}" for name in head)]
    origins = converted(names, SegFormerHead, "SegFormer")
    assert origins["sem_seg_head.linear_c1.proj.bias"] == "decode_head.linear_c1.proj.bias"
    assert origins["backbone.patch_embed1.proj.weight"] == names[0]
