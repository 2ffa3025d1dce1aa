"""What is written of an evaluation of instances: detections in COCO's results format, figures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from segsuite.runs.files import EvaluationFiles
from segsuite.utils.files import atomic_file, write_json

from .coco_metrics import COCOFigures
from .slice_figures import write_slices
from .spool import Spooled

_ENCODER = json.JSONEncoder(separators=(",", ":"))


def json_lines(values: list[dict[str, Any]]) -> str:
    """Values of a JSON list, a line for each."""
    return ",\n".join(map(_ENCODER.encode, values))


def write_results(path: str | os.PathLike[str], images: Spooled) -> None:
    """Write a JSON list with a line for each detection, as `json_lines` gave those of images."""
    with atomic_file(path) as file:
        start = "[\n"
        for _, lines in images:
            if lines:
                file.write(start + lines)
                start = ",\n"
        file.write("[]\n" if start == "[\n" else "\n]\n")


def write_figures(
    files: EvaluationFiles,
    facts: Mapping[str, Any],
    results: Mapping[str, Mapping[str, float]],
    of_tasks: Mapping[str, COCOFigures],
    further: Mapping[str, Any],
) -> None:
    """Write ``coco_evaluation.json``, and a CSV file of slices for each task that has some.

    Args:
        facts: what the figures are of and depend on.
        results: named figures in percent by task.
        of_tasks: with precision over recall.
        further: of `COCOAnalysis.content`.
    """
    content = {
        **facts,
        "results": {task: _without_nan(figures) for task, figures in results.items()},
        "pr_curves": {
            task: {
                name: [None if v != v else v for v in curve]
                for name, curve in figures.pr_curves.items()
            }
            for task, figures in of_tasks.items()
        },
    }
    write_json(files.coco, content | dict(further))
    for task, of_task in further.get("slices", {}).items():
        write_slices(files.slices(task), of_task)


def _without_nan(figures: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if value != value else value for name, value in figures.items()}
