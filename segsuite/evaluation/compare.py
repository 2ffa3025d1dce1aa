"""The comparison of two evaluated runs, from the files that their evaluations left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch

from .bootstrap import Comparison, compare_mean_iou
from .image_counts import load_image_counts


def evaluated_datasets(run: str | os.PathLike) -> list[str]:
    """The data sets of which a run's folder has the pixel counts of each image."""
    return sorted(path.parent.name for path in Path(run, "evaluation").glob("*/image_counts.pt"))


def compare_runs(
    first: str | os.PathLike, second: str | os.PathLike, dataset_name: str
) -> tuple[Comparison, int]:
    """Compare the mIoU of two runs on a data set that both were evaluated on.

    Args:
        first, second: OUTPUT_DIR of the runs.

    Returns:
        The comparison, and the number of images.

    Raises:
        FileNotFoundError: a run was not evaluated on the data set.
        ValueError: other images, classes or rules for absent classes.
    """
    folders = [Path(run, "evaluation", dataset_name) for run in (first, second)]
    counts = [load_image_counts(folder / "image_counts.pt") for folder in folders]
    texts = [json.loads((folder / "sem_seg_evaluation.json").read_text()) for folder in folders]
    _check_same(folders, "classes", [text["classes"] for text in texts])
    rules = [text["results"]["absent_classes"] for text in texts]
    _check_same(folders, "rule for absent classes", rules)
    _check_same(folders, "images", [sorted(c["image_ids"]) for c in counts])
    row = {image_id: i for i, image_id in enumerate(counts[1]["image_ids"])}
    order = torch.tensor([row[image_id] for image_id in counts[0]["image_ids"]])
    comparison = compare_mean_iou(
        counts[0]["counts"], counts[1]["counts"][order], absent_classes=rules[0]
    )
    return comparison, len(order)


def _check_same(folders: list[Path], what: str, values: list) -> None:
    if values[0] == values[1]:
        return
    of_each = [v if isinstance(v, str) else f"{len(v)}, first {v[:3]}" for v in values]
    raise ValueError(
        f"{folders[0]} and {folders[1]} have not the same {what} ({of_each[0]}; {of_each[1]}); "
        "evaluate both runs on the same data set in the same way"
    )
