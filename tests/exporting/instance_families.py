"""Models of instances through their exports: how far from PyTorch, on real images.

``python -m tests.exporting.instance_families`` makes the table of docs/export.md: full models with
the weights of the parity fixtures, which detect things of many classes.
"""

from __future__ import annotations

import gc
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from segsuite.checkpoint import load_weights
from segsuite.config import CfgNode, load_config
from segsuite.data import InferenceMapper, read_image
from segsuite.exporting import check
from segsuite.modeling import build_model
from tests.exporting.tiny_instances import as_openvino, written
from tests.helpers import REPO, SHARED
from tests.parity import ParityCase

# Recipes, and the fixtures whose weights they take.
CASES = {
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x": "d2_mask_rcnn_R_50_FPN_1x",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x": "d2_mask_rcnn_R_50_C4_1x",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_DC5_1x": "d2_mask_rcnn_R_50_DC5_1x",
    "COCO-Detection/faster_rcnn_R_50_FPN_1x": "d2_mask_rcnn_R_50_FPN_1x",
    "COCO-Detection/faster_rcnn_R_50_C4_1x": "d2_mask_rcnn_R_50_C4_1x",
    "COCO-Detection/faster_rcnn_R_50_DC5_1x": "d2_mask_rcnn_R_50_DC5_1x",
    "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x": "d2_panoptic_fpn_R_50_1x",
    "Misc/cascade_mask_rcnn_R_50_FPN_1x": "d2_mask_rcnn_R_50_FPN_1x",
    "Misc/mask_rcnn_R_50_FPN_1x_cls_agnostic": "d2_mask_rcnn_R_50_FPN_1x",
    "torchvision/mask_rcnn_R_50_FPN": "tv_maskrcnn_resnet50_fpn",
    "torchvision/mask_rcnn_R_50_FPN_v2": "tv_maskrcnn_resnet50_fpn_v2",
    "torchvision/faster_rcnn_R_50_FPN": "tv_fasterrcnn_resnet50_fpn",
    "torchvision/faster_rcnn_R_50_FPN_v2": "tv_maskrcnn_resnet50_fpn_v2",
}
# Landscape and portrait, none of the example's size.
IMAGES = ("000000184324.jpg", "000000416256.jpg", "000000349184.jpg")


@dataclass
class Agreement:
    """Of a file and PyTorch over all images.

    Attributes:
        detections: how many there are in PyTorch.
        found: how many there are in the file.
        differences: the largest of each kind, see `compare` of the graphs.
    """

    detections: int = 0
    found: int = 0
    differences: dict[str, float] = field(default_factory=dict)


def coco_records(cfg: CfgNode) -> list[dict]:
    mapper = InferenceMapper(cfg)
    folder = SHARED / "data/coco_tiny/val2017"
    return [mapper(read_image(folder / name, cfg.INPUT.FORMAT)) for name in IMAGES]


def with_fixture(recipe: str) -> tuple[CfgNode, nn.Module]:
    """A full model with the weights of its fixture."""
    options = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""]
    options += ["INPUT.MIN_SIZE_TEST", 224, "INPUT.MAX_SIZE_TEST", 352]
    if recipe.startswith("torchvision"):
        options += ["MODEL.ROI_HEADS.NUM_CLASSES", 90]
    cfg = load_config(REPO / "configs" / f"{recipe}.yaml", options)
    model = build_model(cfg)
    state = ParityCase.load(CASES[recipe]).state_dict()
    if recipe.startswith("Misc"):
        state = _adapted(state, model)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(state, Path(folder, "weights.pth"))
        load_weights(model, Path(folder, "weights.pth"))
    return cfg, model.eval()


def _adapted(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Weights of a Mask R-CNN for all stages of a cascade, and those of the first class for all."""
    return {
        key: state[re.sub(r"(box_head|box_predictor)\.\d\.", r"\1.", key)][: len(value)]
        for key, value in model.state_dict().items()
    }


def agreement(
    cfg: CfgNode, model: nn.Module, records: list[dict], engines: tuple[str, ...], **options: object
) -> Iterator[tuple[str, Agreement]]:
    """Export a model, and compare its files ("onnx", "openvino", "torch_export") with PyTorch on
    some records."""
    with tempfile.TemporaryDirectory() as folder:
        for engine in engines:
            if engine == "openvino" and "onnx" in engines:
                path = as_openvino(Path(folder, "a.onnx"))
            else:
                graph, path = written(Path(folder), cfg, model, engine, **options)
            run, compared = check.open_file(path), Agreement()
            for record in records:
                outputs, reference = run(graph.records_to_inputs(record)), graph.reference(record)
                compared.detections += len(reference["instances"])
                compared.found += int(outputs["count"])
                for difference in graph.compare(outputs, reference):
                    before = compared.differences.get(difference.what, 0.0)
                    compared.differences[difference.what] = max(before, difference.value)
            yield engine, compared


def main(arguments: list[str]) -> None:
    """Of the formats and recipes that are named, else ONNX and OpenVINO of all."""
    formats = ("onnx", "openvino", "torch_export")
    engines = tuple(name for name in formats if name in arguments) or formats[:2]
    for recipe in [name for name in arguments if name not in formats] or CASES:
        cfg, model = with_fixture(recipe)
        for engine, found in agreement(cfg, model, coco_records(cfg), engines):
            values = ", ".join(f"{what} {value:.1e}" for what, value in found.differences.items())
            print(
                f"| {recipe} | {engine} | {found.found} of {found.detections} | {values} |",
                flush=True,
            )
        del cfg, model
        gc.collect()


if __name__ == "__main__":
    main(sys.argv[1:])
