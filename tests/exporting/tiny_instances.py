"""Narrow models of instances that detect something with random weights, as graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from segsuite.config import CfgNode, load_config
from segsuite.exporting.describe import describe
from segsuite.exporting.graphs import ExportGraph, build_graph
from segsuite.exporting.openvino import convert_to_openvino
from segsuite.exporting.options import ExportOptions
from segsuite.exporting.writing import write_graph
from segsuite.modeling import build_model
from segsuite.runtime import read_metadata
from segsuite.runtime.metadata import attach_to_openvino
from tests.helpers import REPO
from tests.modeling.rcnn_models import SMALL, small_cfg

_PANOPTIC = {
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES": 4,
    "MODEL.SEM_SEG_HEAD.CONVS_DIM": 16,
    "MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT": 20,
    "MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH": 0.3,
}
_LAST_LAYERS = ("cls_score", "bbox_pred", "objectness", "predictor")


def config(kind: str, **options: object) -> CfgNode:
    """ "FPN", "C4" or "DilatedC5", "cascade" or "panoptic"; options as for `small_cfg`."""
    if kind in ("C4", "DilatedC5"):
        return small_cfg(kind, **options)
    options = {"MODEL__RESNETS__DEPTH": 18, **options}
    if kind == "FPN":
        return small_cfg(kind, **options)
    recipe = "Misc/cascade_mask_rcnn_R_50_FPN_1x"
    chosen = {**SMALL, **{key.replace("__", "."): value for key, value in options.items()}}
    if kind == "panoptic":
        recipe, chosen = "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x", {**chosen, **_PANOPTIC}
    overrides = [word for pair in chosen.items() for word in pair]
    return load_config(REPO / "configs" / f"{recipe}.yaml", overrides)


def detecting(cfg: CfgNode) -> nn.Module:
    """The model, its last layers larger, so that scores tell boxes and classes apart."""
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(layer in name for layer in _LAST_LAYERS):
                parameter.mul_(30)
    return model


def graph_of(cfg: CfgNode, model: nn.Module | None = None, **options: object) -> ExportGraph:
    return build_graph(cfg, model or detecting(cfg), ExportOptions(**options)).eval()


def written(
    folder: Path, cfg: CfgNode, model: nn.Module | None = None, format: str = "onnx", **options: Any
) -> tuple[ExportGraph, Path]:
    """A graph, and the file or folder that it is written to."""
    cfg.DATASETS.TEST = cfg.DATASETS.TRAIN = ()  # whose classes are others
    model = model or detecting(cfg)
    graph = graph_of(cfg, model, format=format, **options)
    path = folder / {"onnx": "a.onnx", "openvino": "a", "torch_export": "a.pt2"}[format]
    write_graph(graph, path, describe(cfg, model, graph, ""), [])
    return graph, path


def as_openvino(onnx_file: Path) -> Path:
    """The folder that an export as OpenVINO would have made, beside an exported ONNX file."""
    folder = onnx_file.with_suffix("")
    folder.mkdir()
    convert_to_openvino(onnx_file, folder / "model.xml")
    attach_to_openvino(folder / "model.xml", read_metadata(onnx_file))
    return folder


def random_record(size: tuple[int, int], seed: int, wanted: tuple[int, int] | None = None) -> dict:
    """An image of `size`, of which a prediction is `wanted` high and wide."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8)
    height, width = wanted or size
    return {"image": image, "height": height, "width": width}
