"""The weights of a run that are evaluated and predicted with, and the classes they score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from segsuite.checkpoint import LoadReport, load_weights
from segsuite.config import CfgNode
from segsuite.data import MetadataCatalog
from segsuite.data.catalog import label_names
from segsuite.errors import ConfigError, MissingFileError, WeightsError
from segsuite.modeling import ExportedSegmentor

from .files import RunFiles


def class_names(cfg: CfgNode, *, evaluated: bool = False) -> dict[str, list[str]]:
    """The class names behind each group of heads (the first part of its parameters' names), of the
    first data set that has them.

    Args:
        evaluated: ask the data sets for evaluation first, not those for training.
    """
    names = [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]
    if evaluated:
        names = [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]

    def first(key: str) -> Sequence[str] | None:
        found = (MetadataCatalog.get(name).get(key) for name in names)
        return next((classes for classes in found if classes), None)

    stuff, things = first("stuff_classes"), first("thing_classes")
    if stuff and cfg.MODEL.META_ARCHITECTURE != "PanopticFPN":
        stuff = label_names(stuff)
        if cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 1:
            stuff = stuff[1:]  # background has no row
    groups = {"sem_seg_head": stuff, "aux_head": stuff, "roi_heads": things}
    return {group: list(classes) for group, classes in groups.items() if classes}


def load_initial_weights(model: nn.Module, cfg: CfgNode) -> LoadReport:
    """Load MODEL.WEIGHTS, or the parts of it that MODEL.WEIGHTS_PARTS names, to start a training.

    Raises:
        MissingFileError, MissingPackageError, FileAccessError, WeightsError: see `load_weights`.
    """
    return load_weights(
        model,
        cfg.MODEL.WEIGHTS,
        classes=class_names(cfg),
        parts=cfg.MODEL.WEIGHTS_PARTS,
        settings={"INPUT.FORMAT": cfg.INPUT.FORMAT},
    )


def load_trained_weights(model: nn.Module, cfg: CfgNode) -> str | Path:
    """Load MODEL.WEIGHTS or, if that is empty, model_final or else model_best of OUTPUT_DIR.

    An exported file has its weights; its classes are brought into the order of the data sets'.

    Returns:
        The file or address.

    Raises:
        MissingFileError: there are no weights.
        FileAccessError: they cannot be downloaded.
        WeightsError: they are not all of the model's.
        ConfigError: an exported file has other classes than the data sets.
    """
    if isinstance(model, ExportedSegmentor):
        _match_classes(model, cfg)
        return model.file
    files = RunFiles(cfg.OUTPUT_DIR)
    of_run = (path for path in (files.final, files.best) if path.exists())
    path = cfg.MODEL.WEIGHTS or next(of_run, None)
    if path is None:
        raise MissingFileError(
            f"nothing to evaluate: MODEL.WEIGHTS is empty, and '{cfg.OUTPUT_DIR}' has neither "
            f"{files.final.name} nor {files.best.name}"
        )
    report = load_weights(
        model,
        path,
        classes=class_names(cfg, evaluated=True),
        settings={"INPUT.FORMAT": cfg.INPUT.FORMAT},
    )
    lacking = report.missing + report.reinitialized
    if lacking:
        raise WeightsError(
            f"'{path}' lacks {len(lacking)} of the model's tensors or some classes of them, first "
            f"'{lacking[0]}': it can start a training, but not be evaluated"
        )
    return path


def _match_classes(model: ExportedSegmentor, cfg: CfgNode) -> None:
    """Compare the classes of an exported file with those of each data set for evaluation."""
    kinds = {"semantic": ("stuff",), "instances": ("thing",), "panoptic": ("thing", "stuff")}
    for name in cfg.DATASETS.TEST:
        for kind in kinds[model.metadata.task]:
            names = MetadataCatalog.get(name).get(f"{kind}_classes")
            if not names:
                what = "label maps" if kind == "stuff" else "instances"
                raise ConfigError(
                    f"{model.file} predicts {what}, and data set '{name}' has none; name one that "
                    "has"
                )
            model.take_classes(names, name, kind)
