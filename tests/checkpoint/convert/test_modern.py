"""Names of MMSegmentation's and the authors' heads, by the layers their sources define."""

import torch
from torch import nn

from segsuite.checkpoint import convert
from segsuite.config import load_config
from segsuite.layers import ShapeSpec
from segsuite.modeling import META_ARCH_REGISTRY
from segsuite.modeling.backbone import MixTransformer
from segsuite.modeling.sem_seg import HRNetV2Head, OCRHead, SegFormerHead, UPerNetHead
from tests.helpers import REPO

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


HRNET = "backbone.stage4.0.fuse_layers.0.1.0.weight"


def test_hrnet_of_mmsegmentation():
    head = [*conv_modules("convs.0"), "conv_seg.weight", "conv_seg.bias"]
    names = [HRNET, *(f"decode_head.{name}" for name in head)]
    origins = converted(names, HRNetV2Head, "MMSegmentation HRNet")
    assert origins["backbone.stage4.0.fuse_layers.0.1.weight"] == HRNET
    assert origins["sem_seg_head.conv.norm.bias"] == "decode_head.convs.0.bn.bias"


def test_ocr_of_mmsegmentation():
    projections = ("query_project.0", "query_project.1", "key_project.0", "key_project.1")
    block = (*projections, "value_project", "out_project", "bottleneck")
    ocr = conv_modules("bottleneck", *(f"object_context_block.{name}" for name in block))
    predictor = ["conv_seg.weight", "conv_seg.bias"]
    names = [HRNET, *(f"decode_head.0.{name}" for name in conv_modules("convs.0") + predictor)]
    names += [f"decode_head.1.{name}" for name in ocr + predictor]
    origins = converted(names, OCRHead, "MMSegmentation HRNet with OCR")
    theirs = "decode_head.1.object_context_block"
    assert (
        origins["sem_seg_head.attention.query.1.weight"] == f"{theirs}.query_project.1.conv.weight"
    )
    assert origins["sem_seg_head.conv.weight"] == f"{theirs}.bottleneck.conv.weight"
    assert origins["sem_seg_head.pixel_conv.weight"] == "decode_head.1.bottleneck.conv.weight"
    assert origins["sem_seg_head.region_predictor.bias"] == "decode_head.0.conv_seg.bias"


def test_semantic_fpn_of_mmsegmentation():
    """Of the whole model, but for the inside of the ResNet."""
    options = ["MODEL.SEM_SEG_HEAD.NORM", "BN", "MODEL.RESNETS.NORM", "BN"]
    options += ["MODEL.BACKBONE.FREEZE_AT", 0]
    cfg = load_config(REPO / "configs/Misc/semantic_R_50_FPN_1x.yaml", options)
    with torch.device("meta"):
        own = META_ARCH_REGISTRY.get("SemanticSegmentor")(cfg).state_dict()
    # Each convolution but the only one of the finest two is followed by an upsampling.
    convs = [f"scale_heads.{i}.{2 * k}" for i in range(4) for k in range(max(1, i))]
    head = [*conv_modules(*convs), "conv_seg.weight", "conv_seg.bias"]
    names = [f"decode_head.{name}" for name in head]
    for i in range(4):
        for conv in (f"lateral_convs.{i}.conv", f"fpn_convs.{i}.conv"):
            names += [f"neck.{conv}.weight", f"neck.{conv}.bias"]
    names += ["backbone.layer1.0.conv1.weight", *norm("backbone.layer1.0.bn1")]
    conversion = convert({name: torch.zeros(1) for name in names})
    assert conversion.source == "MMSegmentation Semantic FPN"
    assert conversion.unused == []
    expected = {name for name in own if "bottom_up" not in name}
    expected |= {name for name in own if name.startswith("backbone.bottom_up.res2.0.conv1.")}
    assert conversion.weights.keys() == expected


@torch.no_grad()
def test_mix_transformer_of_mmsegmentation():
    """Its attention is PyTorch's, with one matrix for queries, keys and values."""
    backbone = MixTransformer(variant="b0", drop_path_rate=0.0).eval()
    peer = nn.MultiheadAttention(256, 8, batch_first=True).eval()
    state = {}
    for name, tensor in backbone.state_dict().items():
        stage = int(next(c for c in name if c.isdigit())) - 1
        kind, _, rest = name.partition(".")
        if kind.startswith("patch_embed"):
            name = f"layers.{stage}.0.{rest.replace('proj.', 'projection.')}"
        elif kind.startswith("norm"):
            name = f"layers.{stage}.2.{rest}"
        else:
            block, _, rest = rest.partition(".")
            for ours, theirs in [
                ("attn.proj.", "attn.attn.out_proj."),
                ("mlp.fc1.", "ffn.layers.0."),
                ("mlp.dwconv.dwconv.", "ffn.layers.1."),
                ("mlp.fc2.", "ffn.layers.4."),
            ]:
                rest = rest.replace(ours, theirs)
            if rest.startswith("attn.kv."):
                continue
            if rest.startswith("attn.q."):
                rest = rest.replace("attn.q.", "attn.attn.in_proj_")
                tensor = torch.cat([tensor, tensor, tensor])
            if rest in ("ffn.layers.0.weight", "ffn.layers.4.weight"):
                tensor = tensor[:, :, None, None]
            name = f"layers.{stage}.1.{block}.{rest}"
        state[name] = tensor
    state |= {f"layers.3.1.1.attn.attn.{k}": v for k, v in peer.state_dict().items()}
    conversion = convert(state)
    assert conversion.source == "MMSegmentation's Mix Transformer"
    backbone.load_state_dict(conversion.weights)
    tokens = torch.randn(1, 4, 6, 256)
    expected, _ = peer(*[tokens.flatten(1, 2)] * 3)
    attention = backbone.block4[1].attn(tokens).flatten(1, 2)
    torch.testing.assert_close(attention, expected, rtol=1e-4, atol=1e-5)

    state = {f"backbone.{name}": tensor for name, tensor in state.items()}
    conversion = convert(state | {"decode_head.convs.0.conv.weight": torch.zeros(1)})
    assert conversion.weights.keys() == {f"backbone.{name}" for name in backbone.state_dict()}
    assert [why for _, why in conversion.unused] == ["a head that differs from those here"]
