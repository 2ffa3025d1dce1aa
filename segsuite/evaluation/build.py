"""Evaluators by name."""

from __future__ import annotations

import os

from segsuite.config import CfgNode
from segsuite.data.catalog import DatasetCatalog, MetadataCatalog
from segsuite.utils.registry import Registry, unknown_name

from .evaluator import DatasetEvaluator

# Callables (cfg, dataset_name, output_dir) -> DatasetEvaluator, by the `evaluator_type` of the data
# set's metadata.
EVALUATOR_REGISTRY = Registry("EVALUATOR")


def build_evaluator(
    cfg: CfgNode, dataset_name: str, output_dir: str | os.PathLike | None = None
) -> DatasetEvaluator:
    """Build the evaluator that the metadata of a data set asks for.

    Args:
        output_dir: where the evaluator may write files; None: it writes none.

    Raises:
        KeyError: there is no such data set, or no such evaluator.
        ValueError: the metadata has no ``evaluator_type``.
    """
    if dataset_name not in DatasetCatalog:
        raise KeyError(unknown_name(dataset_name, DatasetCatalog.list(), "DatasetCatalog"))
    evaluator_type = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if evaluator_type is None:
        raise ValueError(
            f"the metadata of data set '{dataset_name}' has no evaluator_type; set it with "
            f"MetadataCatalog.get('{dataset_name}').set(evaluator_type=...) to one of "
            f"{', '.join(EVALUATOR_REGISTRY)}"
        )
    return EVALUATOR_REGISTRY.get(evaluator_type)(cfg, dataset_name, output_dir)
