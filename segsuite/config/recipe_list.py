"""What a recipe is in one line: data set, model, and what it reaches or how long it trains.

Read from the YAML files alone, so that listing all recipes takes a fraction of a second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .recipes import BASE_NAME, recipe_path

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Of the names of data sets, the first that one begins with counts.
_DATASETS = {
    "shapes": "shapes",
    "camvid": "CamVid",
    "cityscapes": "Cityscapes",
    "ade20k": "ADE20K",
    "voc": "Pascal VOC",
    "coco_tiny": "8 images of COCO",
    "coco": "COCO",
    "my_": "your data",
}
_HEADS = {
    "FCNHead": "FCN",
    "DeepLabV3Head": "DeepLabV3",
    "DeepLabV3PlusHead": "DeepLabV3+",
    "UNetHead": "U-Net",
    "PSPHead": "PSPNet",
    "UPerNetHead": "UPerNet",
    "LRASPPHead": "Lite R-ASPP",
    "SegFormerHead": "SegFormer",
    "SemSegFPNHead": "Semantic FPN",
    "HRNetV2Head": "HRNetV2",
    "OCRHead": "OCR",
}
_FCN_STRIDES = {1: "FCN-32s", 2: "FCN-16s", 3: "FCN-8s"}


def describe_recipe(name: str) -> str:
    """Data set, model, and what the recipe reaches in how many minutes where that was measured,
    else how many iterations of how many images it has: ``CamVid, U-Net on narrow ResNet-18: mIoU
    59.4 in 20 minutes``, ``COCO, Mask R-CNN R50-FPN: 90k x 16 images``.

    Raises:
        UnknownNameError: there is no such recipe.
    """
    cfg = _read(recipe_path(name))
    first = re.search(r"\w+", str(_get(cfg, "DATASETS.TRAIN", "any")))  # of a list or "('a',)"
    dataset = first[0] if first else ""
    title = next((t for p, t in _DATASETS.items() if dataset.startswith(p)), dataset)
    return f"{title}, {_model(cfg)}: {_reaches(name) or _length(cfg)}"


def recipe_comment(name: str) -> str:
    """The comment at the beginning of a recipe, line by line as it is there; empty if there is
    none."""
    lines = []
    for line in recipe_path(name).read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)


def _reaches(name: str) -> str:
    found = re.search(r"^Reaches (.+ minutes) on two CPU cores\.$", recipe_comment(name), re.M)
    return found[1] if found else ""


def _length(cfg: Mapping[str, Any]) -> str:
    iterations = str(_get(cfg, "SOLVER.MAX_ITER", 40000))
    return f"{re.sub('000$', 'k', iterations)} x {_get(cfg, 'SOLVER.IMS_PER_BATCH', 16)} images"


@cache
def _read(path: Path) -> dict[str, Any]:
    """The content of a recipe with that of its bases."""
    loaded = yaml.load(path.read_text(), _Loader)
    merged: dict[str, Any] = {}
    for base in BASE_NAME.findall(str(loaded.pop("_BASE_", ""))):
        merged = _merge(merged, _read((path.parent / base).resolve()))
    return _merge(merged, loaded)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _get(cfg: Mapping[str, Any], key: str, default: Any) -> Any:
    value: Any = cfg
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
        if value is None:
            return default
    return value


def _model(cfg: Mapping[str, Any]) -> str:
    architecture = _get(cfg, "MODEL.META_ARCHITECTURE", "SemanticSegmentor")
    if architecture != "SemanticSegmentor":
        return f"{_regions(cfg, architecture)} {_backbone(cfg)}"
    head = _get(cfg, "MODEL.SEM_SEG_HEAD.NAME", "SemSegFPNHead")
    backbone = _get(cfg, "MODEL.BACKBONE.NAME", "build_resnet_backbone")
    name = _HEADS.get(head, head)
    if head == "FCNSkipHead":
        name = _FCN_STRIDES[len(_get(cfg, "MODEL.SEM_SEG_HEAD.IN_FEATURES", ()))]
    # Where the backbone is the architecture, or is named by it.
    if head == "SegFormerHead":
        return f"SegFormer-{_get(cfg, 'MODEL.MIT.VARIANT', 'b0').upper()}"
    if head == "HRNetV2Head" or backbone in ("build_unet_backbone", "build_drn_backbone"):
        return _backbone(cfg) if head != "UNetHead" else "U-Net of 2015"
    return f"{name} on {_backbone(cfg)}"


def _regions(cfg: Mapping[str, Any], architecture: str) -> str:
    """The name of a model that finds boxes first."""
    if architecture == "PanopticFPN":
        return "Panoptic FPN"
    if architecture == "ProposalNetwork":
        return "RPN"
    name = "Mask R-CNN" if _get(cfg, "MODEL.MASK_ON", False) else "Faster R-CNN"
    cascade = _get(cfg, "MODEL.ROI_HEADS.NAME", "") == "CascadeROIHeads"
    agnostic = _get(cfg, "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", False)
    prefix = "Cascade " if cascade else "class-agnostic " if agnostic else ""
    return prefix + name


def _backbone(cfg: Mapping[str, Any]) -> str:
    name = _get(cfg, "MODEL.BACKBONE.NAME", "build_resnet_backbone")
    if name == "build_vgg_backbone":
        return f"VGG-{_get(cfg, 'MODEL.VGG.DEPTH', 16)}"
    if name == "build_drn_backbone":
        return f"DRN-{_get(cfg, 'MODEL.DRN.VARIANT', '')}"
    if name == "build_hrnet_backbone":
        return f"HRNetV2-W{_get(cfg, 'MODEL.HRNET.WIDTH', 18)}"
    if name == "build_mobilenet_backbone":
        return f"MobileNetV3-{_get(cfg, 'MODEL.MOBILENET.SIZE', 'large').title()}"
    if not name.startswith("build_resnet"):
        return name
    return _resnet(cfg, name)


def _resnet(cfg: Mapping[str, Any], name: str) -> str:
    depth = _get(cfg, "MODEL.RESNETS.DEPTH", 50)
    full = 64 if depth in (18, 34) else 256
    narrow = "narrow " if _get(cfg, "MODEL.RESNETS.RES2_OUT_CHANNELS", 256) < full else ""
    if _get(cfg, "MODEL.META_ARCHITECTURE", "SemanticSegmentor") == "SemanticSegmentor":
        return f"{narrow}ResNet-{depth}"
    features = _get(cfg, "MODEL.RESNETS.OUT_FEATURES", ["res4"])
    kind = "FPN" if "fpn" in name else {"res4": "C4", "res5": "DC5"}[features[-1]]
    family = "R" if _get(cfg, "MODEL.RESNETS.NUM_GROUPS", 1) == 1 else "X"
    return f"{narrow}{family}{depth}-{kind}"
