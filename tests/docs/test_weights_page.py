"""The table of docs/weights.md is what converts: all formats, and what becomes of them."""

import pytest
import torch
import torchvision

from segsuite.checkpoint.convert.convert import FORMATS, convert
from segsuite.checkpoint.settings import network_settings
from segsuite.modeling import META_ARCH_REGISTRY
from segsuite.modeling.backbone import BACKBONE_REGISTRY
from segsuite.modeling.sem_seg import SEM_SEG_HEADS_REGISTRY
from tests.helpers import REPO, requires_parity
from tests.parity import ROOT

OWN = "by its own names"


def rows():
    lines = (REPO / "docs/weights.md").read_text().splitlines()
    start = lines.index("| library | file | recognised as | becomes |") + 2
    for line in lines[start:]:
        if not line.startswith("|"):
            return
        yield tuple(cell.strip().strip("`") for cell in line.strip("|").split(" | "))


ROWS = {(library.strip(), file): (source, becomes) for library, file, source, becomes in rows()}
REFUSED = {fmt.name: any(f.refused for f in FORMATS if f.name == fmt.name) for fmt in FORMATS}


def test_every_format_is_in_the_table_and_no_other():
    assert {source for source, _ in ROWS.values()} - {OWN} == {fmt.name for fmt in FORMATS}


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_what_becomes_of_it_exists(row):
    source, becomes = ROWS[row]
    if becomes == "refused":
        assert all(fmt.refused for fmt in FORMATS if fmt.name == source)
        return
    assert source == OWN or any(fmt.name == source and not fmt.refused for fmt in FORMATS)
    if becomes.startswith("backbone "):
        name = becomes.removeprefix("backbone ").partition(",")[0].strip("`")
        assert name in BACKBONE_REGISTRY
    elif becomes != "the same model":
        assert becomes in SEM_SEG_HEADS_REGISTRY or becomes in META_ARCH_REGISTRY


def torchvision_model(family, name, **options):
    package = torchvision.models if family is None else getattr(torchvision.models, family)
    backbone = {} if family is None else {"weights_backbone": None}
    return lambda: getattr(package, name)(weights=None, **backbone, **options)


def timm_model(name):
    return lambda: pytest.importorskip("timm").create_model(name)


SAMPLES = {
    ("torchvision", "ResNet, ResNeXt, Wide ResNet"): torchvision_model(None, "wide_resnet50_2"),
    ("torchvision", "VGG"): torchvision_model(None, "vgg13"),
    ("torchvision", "MobileNetV3"): torchvision_model(None, "mobilenet_v3_large"),
    ("torchvision", "FCN on ResNet, auxiliary head"): torchvision_model(
        "segmentation", "fcn_resnet101", aux_loss=True
    ),
    ("torchvision", "DeepLabV3 on ResNet, auxiliary head"): torchvision_model(
        "segmentation", "deeplabv3_resnet101", aux_loss=True
    ),
    ("torchvision", "DeepLabV3 on MobileNetV3, auxiliary head"): torchvision_model(
        "segmentation", "deeplabv3_mobilenet_v3_large", aux_loss=True
    ),
    ("torchvision", "Lite R-ASPP"): torchvision_model("segmentation", "lraspp_mobilenet_v3_large"),
    ("torchvision", "Faster R-CNN on ResNet, v1 and v2"): torchvision_model(
        "detection", "fasterrcnn_resnet50_fpn_v2"
    ),
    ("torchvision", "Mask R-CNN on ResNet, v1 and v2"): torchvision_model(
        "detection", "maskrcnn_resnet50_fpn"
    ),
    ("torchvision", "Faster R-CNN on MobileNetV3"): torchvision_model(
        "detection", "fasterrcnn_mobilenet_v3_large_fpn"
    ),
    ("torchvision", "Keypoint R-CNN"): torchvision_model("detection", "keypointrcnn_resnet50_fpn"),
    ("torchvision", "RetinaNet, FCOS"): torchvision_model("detection", "retinanet_resnet50_fpn"),
    ("torchvision", "SSD"): torchvision_model("detection", "ssd300_vgg16"),
    ("timm", "ResNet"): timm_model("resnet34"),
    ("timm", "ResNet-D"): timm_model("resnet34d"),
    ("timm", "ResNet with a deep stem"): timm_model("resnet50s"),
    ("timm", "VGG"): timm_model("vgg11"),
    ("timm", "HRNet"): timm_model("hrnet_w18_small_v2"),
}
KEYS = {
    ("transformers", "SegFormer, B0 to B5"): "hf_segformer_b0",
    (
        "transformers",
        "UPerNet on ConvNeXt or ConvNeXtV2, auxiliary head",
    ): "hf_upernet_convnext_tiny",
    ("segmentation_models.pytorch", "U-Net"): "smp_unet_resnet34",
    ("segmentation_models.pytorch", "UPerNet"): "smp_upernet_resnet50",
    ("segmentation_models.pytorch", "PSPNet"): "smp_pspnet_resnet50",
    ("segmentation_models.pytorch", "DeepLabV3, on ResNets alone"): "smp_deeplabv3_resnet50",
    (
        "segmentation_models.pytorch",
        "SegFormer, on encoders without stride 2",
    ): "smp_segformer_mit_b0",
    ("segmentation_models.pytorch", "FPN"): "smp_fpn_resnet50",
    ("segmentation_models.pytorch", "DeepLabV3+"): "smp_deeplabv3plus_resnet50",
}


def check(row, state):
    source, becomes = ROWS[row]
    conversion = convert(state)
    assert conversion.source == source
    assert bool(conversion.refused) == (becomes == "refused")
    names = ["convnext_tiny"] if any(".net." in name for name in conversion.weights) else []
    settings = network_settings(conversion, names)
    assert bool(settings) == (becomes != "refused")
    kind = becomes.removeprefix("backbone ").partition(",")[0].strip("`")
    keys = ("BACKBONE.NAME", "SEM_SEG_HEAD.NAME", "META_ARCHITECTURE")
    assert becomes == "refused" or kind in {settings.get(f"MODEL.{key}") for key in keys}


@pytest.mark.parametrize("row", SAMPLES, ids=" ".join)
def test_networks_that_are_installed(row):
    with torch.device("meta"):
        try:
            state = SAMPLES[row]().state_dict()
        except RuntimeError as error:
            pytest.skip(f"not on this version: {error}")
    check(row, state)


@requires_parity
@pytest.mark.parametrize("row", KEYS, ids=" ".join)
def test_networks_by_their_names(row):
    state = {}
    for line in (ROOT / f"{KEYS[row]}.keys.txt").read_text().splitlines():
        name, _, shape = line.split("\t")
        sizes = [int(n) for n in shape.split("x")] if shape != "-" else []
        state[name] = torch.empty(sizes, device="meta")
    check(row, state)
