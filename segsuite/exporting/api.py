"""`export`: from a trained model to a file that other programs run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segsuite.config import CfgNode
from segsuite.data import register_from_config
from segsuite.errors import ConfigError, MissingFileError
from segsuite.modeling import build_model
from segsuite.models.trained import config_of, override_list
from segsuite.runs import Run
from segsuite.runs.plugins import naming_missing_plugins
from segsuite.runs.weights import load_trained_weights
from segsuite.runtime import ExportMetadata
from segsuite.runtime.metadata import is_exported
from segsuite.utils.files import atomic_folder, atomic_path

from .check import compare_with_pytorch
from .describe import describe
from .figures import Loss, check_measurable, measure_losses
from .graphs import Difference, ExportGraph, build_graph
from .images import check_records, image_records
from .options import FORMATS, ExportOptions
from .web import check_metadata, find_onnxruntime_web
from .writing import check_packages, write_graph

# OpenVINO converts the weights itself.
_HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes:
        path: the file or folder.
        metadata: what it says about itself.
        images: how many images it was compared with PyTorch on.
        differences: the largest of each kind.
        losses: of int8, what it costs on the model's data set for tests.
        notes: what the graph leaves to whoever runs it.
    """

    path: Path
    metadata: ExportMetadata
    images: int
    differences: list[Difference]
    losses: list[Loss]
    notes: list[str]

    def __str__(self) -> str:
        compared = "; ".join(f"{d.what} {d.value:.2g}" for d in self.differences)
        lines = [f"{self.path}: largest difference to PyTorch on {self.images} images: {compared}"]
        return "\n".join([*lines, *map(str, self.losses), *(f"note: {n}" for n in self.notes)])


def export(
    source: str | os.PathLike[str] | Run | CfgNode,
    output: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | Iterable[Any] = (),
    overwrite: bool = False,
    check_images: int = 3,
    calibration: str | os.PathLike[str] | None = None,
    calibration_images: int = 32,
    measure: bool = True,
    **options: Any,
) -> Exported:
    """Write a trained model as a file of another format, checked against PyTorch::

        segsuite.export("output/demo", "demo.onnx")
        segsuite.export("output/demo", "demo.pt2", format="torch_export", size=(480, 640))

    The file has preprocessing and postprocessing inside, and says what its classes are and how
    images are prepared for it; docs/export.md tells what goes in and comes out. It is there when
    the check has passed, and not at all otherwise.

    Args:
        source, weights, overrides: a trained model, as `segsuite.load` takes it, or its
            configuration.
        output: the file to write, ending in .onnx or .pt2; for OpenVINO and browsers a folder.
        overwrite: take the place of an `output` that is there.
        check_images: on how many images the file is compared with PyTorch: those of the model's
            data sets, or generated ones where there are none.
        calibration: for int8, the data set whose images the ranges of values are taken from, or a
            folder of images, which need no labels; None: the first of DATASETS.TRAIN.
        calibration_images: how many of them, spread evenly; all where there are fewer.
        measure: evaluate an int8 file, and the model, on the first of DATASETS.TEST, which may take
            a while.
        options: see `ExportOptions`.

    Raises:
        UnknownNameError: no such format or precision; no such data set or folder to calibrate on.
        DataError: a data set or folder to calibrate or measure on is empty, or an image damaged.
        ConfigError: the model can't be exported as asked for; or `output` is there, or has another
            suffix.
        MissingPackageError: what writes the format is not installed.
        MissingFileError: the model, its weights or the folder of `output` do not exist.
        WeightsError: the weights are not all of the model's, or damaged.
        RunError: the file differs from PyTorch by more than rounding.
    """
    chosen = ExportOptions(**options)
    check_packages(chosen.format, chosen.precision)
    if chosen.format == "web":
        find_onnxruntime_web(chosen.onnxruntime_web)
    path = _free_path(Path(output), chosen.format, overwrite=overwrite)
    cfg = config_of(source, ["MODEL.DEVICE", "cpu", *override_list(overrides)])
    if weights is not None:
        cfg.MODEL.WEIGHTS = os.fspath(weights)
    model, origin = _trained(cfg)
    graph = build_graph(cfg, model, chosen).eval()
    if chosen.precision in _HALVES and chosen.format != "openvino":
        graph.set_precision(_HALVES[chosen.precision])
    metadata = describe(cfg, model, graph, origin)
    if chosen.format == "web":
        check_metadata(metadata)
    records = check_records(cfg, check_images, metadata)
    calibrating = _calibration(cfg, graph, metadata, calibration, calibration_images)
    is_measured = measure and chosen.precision == "int8"
    if is_measured:
        check_measurable(cfg)
    with _whole(path, chosen.format) as temporary:
        write_graph(graph, temporary, metadata, calibrating)
        differences = compare_with_pytorch(graph, temporary, records)
        losses = measure_losses(cfg, origin, temporary) if is_measured else []
    return Exported(path, metadata, len(records), differences, losses, _notes(cfg))


def _trained(cfg: CfgNode) -> tuple[nn.Module, str | Path]:
    with naming_missing_plugins(cfg.OUTPUT_DIR):
        register_from_config(cfg)
        model = build_model(cfg).eval()
    return model, load_trained_weights(model, cfg)


def _free_path(path: Path, format: str, *, overwrite: bool) -> Path:
    suffix = FORMATS[format]
    if suffix and path.suffix != suffix:
        raise ConfigError(f"'{path}': a file of the format {format} ends in {suffix}")
    if not path.absolute().parent.is_dir():
        raise MissingFileError(f"'{path}' can't be written: there is no folder '{path.parent}'")
    if path.exists() and not overwrite:
        raise ConfigError(
            f"'{path}' exists; choose another name, or overwrite it (--overwrite, overwrite=True)"
        )
    if path.is_dir() and (suffix or (any(path.iterdir()) and not is_exported(path))):
        raise ConfigError(f"'{path}' is a folder with something else, and is not overwritten")
    return path


def _whole(path: Path, format: str) -> AbstractContextManager[Path]:
    return atomic_path(path) if FORMATS[format] else atomic_folder(path)


def _calibration(
    cfg: CfgNode,
    graph: ExportGraph,
    metadata: ExportMetadata,
    source: str | os.PathLike[str] | None,
    count: int,
) -> Iterable[dict[str, Tensor]]:
    """Inputs of images to quantise with; none where nobody is to."""
    if graph.options.precision != "int8":
        if source is not None:
            raise ConfigError(
                f"calibration '{source}' is for int8, and the precision is "
                f"{graph.options.precision}: leave it out, or ask for int8 (--precision int8)"
            )
        return ()
    if source is None:
        source = next(iter(cfg.DATASETS.TRAIN), None)
    if source is None:
        raise ConfigError(
            "int8 needs images to take the ranges of values from: name a data set or a folder of "
            "images (--calibration NAME, calibration=NAME)"
        )
    if count < 1:
        raise ConfigError(f"{count} images to calibrate on: expected one or more")
    records = image_records(cfg, source, count, metadata)
    return map(graph.records_to_inputs, records)


def _notes(cfg: CfgNode) -> list[str]:
    """What tests of the model do and no graph can."""
    asked = [f"TEST.{key}" for key in ("SLIDING_WINDOW", "AUG") if cfg.TEST[key].ENABLED]
    return [
        f"{key}.ENABLED is not part of the file, which predicts each image as a whole and once"
        for key in asked
    ]
