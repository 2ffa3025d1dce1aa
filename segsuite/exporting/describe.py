"""What an exported file says about itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

import segsuite
from segsuite.config import CfgNode
from segsuite.data import Metadata, default_colors
from segsuite.data.image import channel_order
from segsuite.errors import ConfigError
from segsuite.runs import Run
from segsuite.runs.run_info import run_metadata
from segsuite.runtime import ExportMetadata
from segsuite.runtime.metadata import file_sha256

from .graphs import ExportGraph

_RGB_CHANNELS = 3


def describe(
    cfg: CfgNode, model: nn.Module, graph: ExportGraph, weights: str | Path
) -> ExportMetadata:
    """The metadata of the export of a model.

    Args:
        cfg: that the model was built of.
        weights: file or address that its weights were loaded from.
    """
    options = graph.options
    height, width = options.size or graph.example_size
    return ExportMetadata(
        task=graph.task,
        segsuite_version=segsuite.__version__,
        meta_architecture=cfg.MODEL.META_ARCHITECTURE,
        recipe=Path(cfg.OUTPUT_DIR).name,
        **_classes(cfg, graph),
        pixel_format=_pixel_format(cfg),
        in_channels=graph.in_channels,
        bands=list(cfg.INPUT.BANDS),
        value_range=list(cfg.INPUT.VALUE_RANGE),
        display_bands=list(cfg.INPUT.DISPLAY_BANDS),
        mean=[float(value) for value in cfg.MODEL.PIXEL_MEAN],
        std=[float(value) for value in cfg.MODEL.PIXEL_STD],
        resize=_resize(cfg),
        size_divisibility=graph.size_divisibility,
        bare=options.bare,
        dynamic={"batch": options.batch is None, "size": options.size is None},
        input_size=[height, width],
        batch_size=options.batch or 1,
        precision=options.precision,
        whole_pixel_masks=cfg.MODEL.ROI_MASK_HEAD.WHOLE_PIXEL_MASKS,
        threshold=cfg.MODEL.SEM_SEG_HEAD.THRESHOLD,
        ignore_value=cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
        weights_sha256=weights_sha256(model, weights),
        figures=_figures(cfg),
        inputs=list(graph.example()),
        outputs=list(graph.outputs),
    )


def weights_sha256(model: nn.Module, weights: str | Path) -> str:
    """SHA-256 of the file that the weights are from; where they are not from a file, of the names
    and bytes of the model's tensors, in the order of their names."""
    if Path(weights).is_file():
        return file_sha256(weights)
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _classes(cfg: CfgNode, graph: ExportGraph) -> dict[str, Any]:
    try:
        metadata = run_metadata(cfg)
    except ConfigError:  # no data set is named: classes have numbers alone
        metadata = Metadata("none")
    if len(graph.class_counts) == 1:
        ((kind, count),) = graph.class_counts.items()
        names, colors, ids = _classes_of(metadata, kind, count)
        return {"classes": names, "colors": colors, "class_ids": ids}
    facts: dict[str, Any] = {}
    for kind, count in graph.class_counts.items():
        names, colors, ids = _classes_of(metadata, kind, count)
        facts |= {f"{kind}_classes": names, f"{kind}_colors": colors, f"{kind}_ids": ids}
    return facts


def _classes_of(
    metadata: Metadata, kind: str, count: int
) -> tuple[list[str], list[list[int]], list[int | str]]:
    """Names, colours and, where they are not 0, 1, ..., the data set's ids of the classes of a
    kind."""
    names = list(metadata.get(f"{kind}_classes") or [])
    names = names or [f"class {number}" for number in range(count)]
    if len(names) != count:
        raise ConfigError(
            f"the model has {count} classes, but its data set names {len(names)}; set "
            "DATASETS.TEST to the one that the model was trained for"
        )
    colors = metadata.get(f"{kind}_colors") or default_colors(count)
    numbers = metadata.get(f"{kind}_dataset_id_to_contiguous_id") or {}
    ids = sorted(numbers, key=lambda id: numbers[id])
    known = len(ids) == count and ids != list(range(count))
    return names, [[int(c) for c in color] for color in colors], ids if known else []


def _pixel_format(cfg: CfgNode) -> str:
    if cfg.INPUT.FORMAT == "L":
        return "L"
    is_color = len(cfg.MODEL.PIXEL_MEAN) == _RGB_CHANNELS and not cfg.INPUT.BANDS
    return channel_order(cfg) if is_color else "bands"


def _resize(cfg: CfgNode) -> dict[str, int] | None:
    if cfg.INPUT.MIN_SIZE_TEST == 0:
        return None
    return {"min_size": cfg.INPUT.MIN_SIZE_TEST, "max_size": cfg.INPUT.MAX_SIZE_TEST}


def _figures(cfg: CfgNode) -> dict[str, Any]:
    """The figures of the run on the first of its data sets for tests that has them."""
    if cfg.MODEL.WEIGHTS or not Path(cfg.OUTPUT_DIR).is_dir():
        return {}
    evaluations = Run(cfg.OUTPUT_DIR).evaluations
    found = [evaluations[name] for name in cfg.DATASETS.TEST if name in evaluations]
    return found[0].results if found else {}
