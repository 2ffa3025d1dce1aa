"""Models of instances through their exports: how far from PyTorch, on real images.

``python -m tests.exporting.instance_families`` makes the table of docs/export.md: full models with
the weights of the parity fixtures, which detect things of many classes.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from torch import nn

import segsuite
from segsuite.checkpoint import load_weights
from segsuite.config import CfgNode, load_config
from segsuite.data import InferenceMapper, read_image
from segsuite.exporting import check
from segsuite.exporting.graphs import build_graph
from segsuite.exporting.options import ExportOptions
from segsuite.modeling import build_model
from tests.helpers import REPO, SHARED
from tests.parity import ParityCase

# Recipes, and the fixtures whose weights they take.
CASES = {
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x": "d2_mask_rcnn_R_50_FPN_1x",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x": "d2_mask_rcnn_R_50_C4_1x",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_DC5_1x": "d2_mask_rcnn_R_50_DC5_1x",
    "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x": "d2_panoptic_fpn_R_50_1x",
    "torchvision/mask_rcnn_R_50_FPN": "tv_maskrcnn_resnet50_fpn",
    "torchvision/mask_rcnn_R_50_FPN_v2": "tv_maskrcnn_resnet50_fpn_v2",
    "torchvision/faster_rcnn_R_50_FPN": "tv_fasterrcnn_resnet50_fpn",
}
# Landscape and portrait, none of the example's size.
IMAGES = ("000000184324.jpg", "000000416256.jpg", "000000349184.jpg")


@dataclass
class Agreement:
    """Of a file and PyTorch over all images.

    Attributes:
        detections: how many there are in PyTorch.
        differences: the largest of each kind, see `compare` of the graphs.
    """

    detections: int
    differences: dict[str, float]


def coco_records(cfg: CfgNode) -> list[dict]:
    mapper = InferenceMapper(cfg)
    folder = SHARED / "data/coco_tiny/val2017"
    return [mapper(read_image(folder / name, cfg.INPUT.FORMAT)) for name in IMAGES]


def with_fixture(recipe: str) -> tuple[CfgNode, nn.Module]:
    """A full model with the weights of its fixture."""
    case = ParityCase.load(CASES[recipe])
    options = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""]
    options += ["INPUT.MIN_SIZE_TEST", 224, "INPUT.MAX_SIZE_TEST", 352]
    if recipe.startswith("torchvision"):
        options += ["MODEL.ROI_HEADS.NUM_CLASSES", 90]
    cfg = load_config(REPO / "configs" / f"{recipe}.yaml", options)
    model = build_model(cfg)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(case.state_dict(), Path(folder, "weights.pth"))
        load_weights(model, Path(folder, "weights.pth"))
    return cfg, model.eval()


def agreement(
    cfg: CfgNode, model: nn.Module, records: list[dict], formats: tuple[str, ...], **options: object
) -> dict[str, Agreement]:
    """Export a model in some formats, and compare each file with PyTorch on some records."""
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ()  # whose classes may be others
    graph = build_graph(cfg, model, ExportOptions(**options))
    references = [graph.reference(record) for record in records]
    found = {}
    for format in formats:
        suffix = {"onnx": ".onnx", "openvino": "", "torch_export": ".pt2"}[format]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"model{suffix}")
            with mock.patch("segsuite.exporting.api._trained", lambda cfg: (model, "")):
                segsuite.export(cfg, path, format=format, check_images=1, **options)
            run = check.open_file(path)
            largest: dict[str, float] = {}
            for record, reference in zip(records, references, strict=True):
                outputs = run(graph.records_to_inputs(record))
                for difference in graph.compare(outputs, reference):
                    before = largest.get(difference.what, 0.0)
                    largest[difference.what] = max(before, difference.value)
        found[format] = Agreement(sum(len(r["instances"]) for r in references), largest)
    return found


def main(recipes: list[str]) -> None:
    for recipe in recipes or CASES:
        cfg, model = with_fixture(recipe)
        for format in ("onnx", "openvino"):
            (found,) = agreement(cfg, model, coco_records(cfg), (format,)).values()
            values = ", ".join(f"{what} {value:.1e}" for what, value in found.differences.items())
            print(f"| {recipe} | {format} | {found.detections} | {values} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
