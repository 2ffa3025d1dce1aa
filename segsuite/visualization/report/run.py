"""The files of a run, read for its report."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from segsuite.errors import MissingFileError

# The files that evaluators write, and the task of those that write the figures of one.
_RESULTS = {
    "sem_seg_evaluation.json": "sem_seg",
    "coco_evaluation.json": "bbox",
    "panoptic_evaluation.json": "panoptic_seg",
}


@dataclass
class Evaluation:
    """What is known of a run on one data set.

    Attributes:
        results: figures by task, in percent; None where a class is left out.
        files: content of the evaluators' files by task, with confusion matrix and curves.
        speed: see `inference_on_dataset`; empty where it was not kept.
        examples: one dict an image, see `save_examples`, the worst first.
        examples_task: the one of `results` that they are of.
        intervals: (low, high) in percent by figure, where they were computed.
    """

    dataset: str
    results: dict[str, dict[str, Any]]
    files: dict[str, dict[str, Any]]
    speed: dict[str, Any]
    examples: list[dict[str, Any]]
    examples_task: str
    intervals: dict[str, tuple[float, float]]


@dataclass
class Run:
    """A run, as its output folder tells it.

    Attributes:
        name: unique among the runs of a report.
        config: keys joined by dots, ``{"SOLVER.BASE_LR": 0.01, ...}``.
        info: of ``run_info.json``; may be empty.
        metrics: the lines of ``metrics.json``, by iteration.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    info: dict[str, Any]
    metrics: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)

    def curve(self, name: str) -> list[tuple[int, float]]:
        """(iterations done, value) of a figure, without the gaps."""
        points = ((line["iteration"] + 1, line.get(name)) for line in self.metrics)
        return [(i, v) for i, v in points if v is not None]


def load_run(folder: str | os.PathLike) -> Run:
    """Read the output folder of a run.

    Raises:
        FileNotFoundError: it is none.
    """
    folder = Path(folder)
    config = folder / "config.yaml"
    evaluations = [e for e in map(_evaluation, sorted(folder.glob("evaluation/*"))) if e]
    if not config.exists() and not evaluations:
        raise MissingFileError(
            f"'{folder}' is no run: it has neither config.yaml nor evaluations. Give the "
            "OUTPUT_DIR of a training, such as output/demo after `make demo`"
        )
    return Run(
        name=folder.resolve().name,
        folder=folder,
        config=dict(_flatten(yaml.safe_load(config.read_text()))) if config.exists() else {},
        info=_read_json(folder / "run_info.json"),
        metrics=_read_lines(folder / "metrics.json"),
        evaluations=evaluations,
    )


def _evaluation(folder: Path) -> Evaluation | None:
    results: dict[str, dict[str, Any]] = {}
    files: dict[str, dict[str, Any]] = {}
    for name, task in _RESULTS.items():
        content = _read_json(folder / name)
        if not content:
            continue
        task_results = content["results"]
        if not all(isinstance(v, dict) for v in task_results.values()):
            task_results = {task: task_results}
        results.update(task_results)
        files.update(dict.fromkeys(task_results, content))
    if not results:
        return None
    pictures = _read_json(folder / "examples" / "examples.json")
    examples = pictures.get("examples", [])
    for example in examples:
        example["folder"] = folder / "examples"
    return Evaluation(
        dataset=next(iter(files.values()))["dataset"],
        results=results,
        files=files,
        speed=_read_json(folder / "speed.json"),
        examples=examples,
        examples_task=pictures.get("task", next(iter(results))),
        intervals={
            figure: bounds
            for content in files.values()
            for figure, bounds in content.get("intervals", {}).get("figures", {}).items()
            if None not in bounds
        },
    )


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.json; a run that is killed may leave half a one."""
    lines = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


def _flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
