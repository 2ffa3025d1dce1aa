"""Evaluators by name."""

from __future__ import annotations

import os
from typing import Any

from segsuite.config import CfgNode, build_entry, read_entries
from segsuite.data.catalog import DatasetCatalog, MetadataCatalog
from segsuite.errors import DataError, UnknownNameError
from segsuite.utils.registry import unknown_name

from . import coco, lvis, panoptic, sem_seg  # noqa: F401  which register their evaluators
from .base import DatasetEvaluator, DatasetEvaluators
from .registry import EVALUATOR_REGISTRY

__all__ = ["EVALUATOR_REGISTRY", "build_evaluator"]


def build_evaluator(
    cfg: CfgNode, dataset_name: str, output_dir: str | os.PathLike | None = None
) -> DatasetEvaluator:
    """The evaluator that the metadata of a data set asks for, and those of TEST.EVALUATORS.

    (An entry of the first one's name gives it arguments.)

    Args:
        output_dir: where the evaluators may write files; None: they write none.

    Raises:
        UnknownNameError: there is no such data set or evaluator, or it does not take an argument.
        DataError: the metadata has no ``evaluator_type``, and TEST.EVALUATORS is empty.
    """
    if dataset_name not in DatasetCatalog:
        raise UnknownNameError(unknown_name(dataset_name, DatasetCatalog.list(), "DatasetCatalog"))
    evaluator_type = MetadataCatalog.get(dataset_name).get("evaluator_type")
    entries: dict[str, dict[str, Any]] = {} if evaluator_type is None else {evaluator_type: {}}
    entries.update(read_entries(cfg.TEST.EVALUATORS, "TEST.EVALUATORS"))
    if not entries:
        raise DataError(
            f"the metadata of data set '{dataset_name}' has no evaluator_type; set it with "
            f"MetadataCatalog.get('{dataset_name}').set(evaluator_type=...) to one of "
            f"{', '.join(EVALUATOR_REGISTRY)}, or name evaluators in TEST.EVALUATORS"
        )
    built = [
        build_entry(
            *(EVALUATOR_REGISTRY.get(name), name, arguments, "TEST.EVALUATORS"),
            *(cfg, dataset_name, output_dir),
        )
        for name, arguments in entries.items()
    ]
    return built[0] if len(built) == 1 else DatasetEvaluators(built)
