"""An exported file as a run: its configuration, and the names of its classes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from segsuite.config import CfgNode, load_config
from segsuite.data import Metadata
from segsuite.errors import ConfigError
from segsuite.runtime import ExportMetadata, read_metadata
from segsuite.runtime.metadata import model_file
from segsuite.utils.nested import flatten

logger = logging.getLogger(__name__)

META_ARCHITECTURE = "ExportedSegmentor"
# What may be chosen of a model that is finished; all else of MODEL and INPUT is in the file.
_FREE = (
    *("MODEL.DEVICE", "MODEL.EXPORTED.DEVICE", "MODEL.EXPORTED.THREADS"),
    *("INPUT.MIN_SIZE_TEST", "INPUT.MAX_SIZE_TEST"),
)
_UNAVAILABLE = ("TEST.AUG", "TEST.SLIDING_WINDOW", "TEST.AMP")


def exported_config(
    path: str | os.PathLike[str],
    overrides: Iterable[Any] = (),
    plugins: Iterable[str] = (),
    *,
    data: CfgNode | None = None,
) -> CfgNode:
    """The configuration by which an exported file is predicted with and evaluated.

    Args:
        path: as `read_metadata` takes it.
        overrides: ``KEY VALUE`` pairs: of data sets, evaluation, output, and MODEL.EXPORTED.
        plugins: modules to import that register components.
        data: a configuration whose data sets, and ways of evaluation, are taken; None: the
            defaults, which name no data set.

    Returns:
        Predictions go to OUTPUT_DIR ``output/<name>_<format>`` unless `overrides` say otherwise.

    Raises:
        MissingFileError, UnknownNameError, WeightsError: see `read_metadata`.
        ConfigError: an override of what is fixed in the file, or of what only a model that is built
            by PyTorch can do.
    """
    metadata = read_metadata(path)
    cfg = load_config(None, (), plugins)
    if data is not None:
        for section in ("DATASETS", "DATALOADER", "TEST"):
            cfg[section] = data[section].clone()
        for key in _enabled(cfg):
            logger.warning("%s is left out, which an exported file can't have", key)
            cfg.merge_from_list([f"{key}.ENABLED", False])
    cfg.merge_from_list(_settings(Path(path), metadata))
    given = cfg.clone()
    cfg.merge_from_list(list(overrides))
    _check_unchanged(given, cfg, path)
    for key in _enabled(cfg):
        raise ConfigError(
            f"{key} can't be had from an exported file: {path} predicts each image as a whole, "
            "once, in its own precision. Leave it out, or use the run itself"
        )
    return cfg


def exported_classes(metadata: ExportMetadata) -> Metadata:
    """Names and colours of an exported model's classes, as data sets have them."""
    facts: dict[str, Any] = {"ignore_label": metadata.ignore_value}
    if metadata.task == "panoptic":
        facts |= _facts("thing", metadata.thing_classes, metadata.thing_colors, metadata.thing_ids)
        facts |= _facts("stuff", metadata.stuff_classes, metadata.stuff_colors, metadata.stuff_ids)
    else:
        kind = "stuff" if metadata.task == "semantic" else "thing"
        facts |= _facts(kind, metadata.classes, metadata.colors, metadata.class_ids)
    return Metadata("of the exported file").set(**facts)


def _facts(
    kind: str, names: list[str], colors: list[list[int]], ids: list[int | str]
) -> dict[str, Any]:
    facts: dict[str, Any] = {f"{kind}_classes": names}
    if colors:
        facts[f"{kind}_colors"] = [tuple(color) for color in colors]
    if ids:
        facts[f"{kind}_dataset_id_to_contiguous_id"] = {k: i for i, k in enumerate(ids)}
    return facts


def _settings(path: Path, metadata: ExportMetadata) -> list[Any]:
    """What the file fixes, as ``KEY VALUE`` pairs."""
    file = model_file(path)
    assert file is not None  # it has been read
    resize = metadata.resize or {"min_size": 0, "max_size": 0}
    is_color = metadata.pixel_format in ("RGB", "BGR")
    settings = {
        "OUTPUT_DIR": os.path.join("output", f"{file.stem}_{file.suffix[1:]}"),
        "MODEL.META_ARCHITECTURE": META_ARCHITECTURE,
        "MODEL.WEIGHTS": os.fspath(path),
        "MODEL.PIXEL_MEAN": metadata.mean,
        "MODEL.PIXEL_STD": metadata.std,
        "MODEL.MASK_ON": metadata.task != "semantic",
        "MODEL.SEM_SEG_HEAD.NUM_CLASSES": len(metadata.stuff_classes or metadata.classes),
        "MODEL.SEM_SEG_HEAD.IGNORE_VALUE": metadata.ignore_value,
        "MODEL.ROI_HEADS.NUM_CLASSES": len(metadata.thing_classes or metadata.classes),
        "INPUT.FORMAT": metadata.pixel_format
        if is_color or metadata.pixel_format == "L"
        else "RGB",
        "INPUT.BANDS": metadata.bands,
        "INPUT.VALUE_RANGE": metadata.value_range,
        "INPUT.DISPLAY_BANDS": metadata.display_bands,
        "INPUT.MIN_SIZE_TEST": resize["min_size"],
        "INPUT.MAX_SIZE_TEST": resize["max_size"],
    }
    return [word for pair in settings.items() for word in pair]


def _check_unchanged(before: CfgNode, after: CfgNode, path: object) -> None:
    old, new = flatten(before), flatten(after)
    for key, value in new.items():
        if key.startswith(("MODEL.", "INPUT.")) and key not in _FREE and old.get(key) != value:
            raise ConfigError(
                f"{key} is fixed in the exported file {path}: change it in the run, and export "
                f"that again. Of MODEL and INPUT, {', '.join(_FREE)} can be chosen"
            )


def _enabled(cfg: CfgNode) -> list[str]:
    settings = flatten(cfg)
    return [key for key in _UNAVAILABLE if settings[f"{key}.ENABLED"]]
