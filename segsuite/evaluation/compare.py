"""The comparison of two evaluated runs, from the files that their evaluations left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from segsuite.errors import DataError
from segsuite.runs import Evaluation, Run, RunFiles

from .bootstrap import Comparison, compare_mean_iou
from .image_counts import load_image_counts


def evaluated_datasets(run: str | os.PathLike) -> list[str]:
    """The data sets of which a run's folder has the pixel counts of each image."""
    evaluations = Run(run).evaluations.items()
    return [name for name, evaluation in evaluations if evaluation.files.image_counts.exists()]


def compare_runs(
    first: str | os.PathLike, second: str | os.PathLike, dataset_name: str
) -> tuple[Comparison, int]:
    """Compare the mIoU of two runs on a data set that both were evaluated on.

    Args:
        first, second: OUTPUT_DIR of the runs.

    Returns:
        The comparison, and the number of images.

    Raises:
        MissingFileError: a run was not evaluated on the data set.
        DataError: other images, classes or rules for absent classes.
    """
    evaluations = [Evaluation(RunFiles(run).evaluation(dataset_name)) for run in (first, second)]
    folders = [evaluation.files.folder for evaluation in evaluations]
    counts = [load_image_counts(evaluation.files.image_counts) for evaluation in evaluations]
    texts = [evaluation.contents["sem_seg"] for evaluation in evaluations]
    _check_same(folders, "classes", [text["classes"] for text in texts])
    rules = [text["results"]["absent_classes"] for text in texts]
    _check_same(folders, "rule for absent classes", rules)
    averaged = [text.get("averaged") for text in texts]
    _check_same(folders, "averaged classes", averaged)
    _check_same(folders, "images", [sorted(c["image_ids"]) for c in counts])
    row = {image_id: i for i, image_id in enumerate(counts[1]["image_ids"])}
    order = torch.tensor([row[image_id] for image_id in counts[0]["image_ids"]])
    comparison = compare_mean_iou(
        counts[0]["counts"],
        counts[1]["counts"][order],
        absent_classes=rules[0],
        averaged=averaged[0],
    )
    return comparison, len(order)


def _check_same(folders: list[Path], what: str, values: list[Any]) -> None:
    if values[0] == values[1]:
        return
    of_each = [f"{len(v)}, first {v[:3]}" if isinstance(v, list) else str(v) for v in values]
    raise DataError(
        f"{folders[0]} and {folders[1]} have not the same {what} ({of_each[0]}; {of_each[1]}); "
        "evaluate both runs on the same data set in the same way"
    )
