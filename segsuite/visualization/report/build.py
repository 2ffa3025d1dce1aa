"""`write_report`: one HTML file about one run or several, without anything from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

import segsuite
from segsuite.runs import Evaluation, Run, main_metric
from segsuite.utils.files import write_text

from ..errors import ERROR_COLORS
from .charts import Series, line_chart, number, reliability_chart
from .figures import (
    config_differences,
    confusion_table,
    error_rows,
    facts,
    slices_table,
    speed_rows,
    split_figures,
    top_confusions,
)
from .pictures import data_uri, pixels

_CARDS = 4  # figures of each task at the top of the page
_SIZES = (("small", "s"), ("medium", "m"), ("large", "l"))


def write_report(
    run_dirs: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str] | None = None
) -> Path:
    """Write the report of one run, or of several side by side.

    Args:
        run_dirs: output folders.
        path: the HTML file; None: ``report.html`` of the first run.

    Raises:
        MissingFileError: a folder is no run.
    """
    runs = [Run(folder) for folder in run_dirs]
    _name_apart(runs)
    path = runs[0].files.report if path is None else Path(path)
    write_text(path, render(runs))
    return path


def render(runs: Sequence[Run]) -> str:
    """The page as text."""
    assets = resources.files(__package__) / "assets"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["figure"] = lambda v: "–" if v is None or v != v else f"{v:.2f}"
    environment.filters["percent"] = lambda v: "–" if v is None else f"{100 * v:.1f}"
    template = environment.from_string((assets / "report.html").read_text())
    return template.render(
        runs=runs,
        title=" and ".join(run.name for run in runs),
        version=segsuite.__version__,
        style=(assets / "report.css").read_text(),
        script=(assets / "report.js").read_text(),
        facts={run.name: facts(run) for run in runs},
        differences=config_differences(runs) if len(runs) > 1 else [],
        curves=_curves(runs),
        tasks=_tasks(runs),
        speed={run.name: speed_rows(run) for run in runs},
    )


def _name_apart(runs: Sequence[Run]) -> None:
    """Runs of one name are told by the folder above, or else by their place."""
    names = [run.name for run in runs]
    for i, run in enumerate(runs):
        if names.count(run.name) > 1:
            run.name = f"{run.folder.resolve().parent.name}/{names[i]}"
    for i, run in enumerate(runs):
        if any(run.name == other.name for other in runs[:i]):
            run.name += f" ({i + 1})"


def _curves(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Titles and charts of the figures over the iterations: losses, the metric, learning rate."""
    names = dict.fromkeys(name for run in runs for line in run.metrics for name in line)
    losses = [n for n in names if n == "total_loss" or n.startswith("loss")]
    if len(losses) == 2:
        losses = ["total_loss"]  # the one that there is
    metrics = dict.fromkeys(
        run.settings.get("TEST.BEST_METRIC") or main_metric(names) for run in runs
    )
    wanted = [*losses, *filter(None, metrics), "lr", "grad_norm"]
    last = max((line["iteration"] + 1 for run in runs for line in run.metrics), default=1)
    charts = []
    for name in wanted:
        series = [Series(r.name, r.curve(name), i) for i, r in enumerate(runs)]
        series = [s for s in series if s.points]
        if series:
            ends = "; ".join(f"{s.name} ends at {number(s.points[-1][1])}" for s in series)
            label = f"{name} over the iterations: {ends}"
            chart = line_chart(series, label=label, x_label="iteration", x_range=(0, last))
            charts.append((name, chart))
    return charts


def _tasks(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A section for each data set and task, with what each run has of it."""
    keys = dict.fromkeys(
        (e.dataset, task) for r in runs for e in r.evaluations.values() for task in e.results
    )
    return [_task(runs, dataset, task) for dataset, task in keys]


def _task(runs: Sequence[Run], dataset: str, task: str) -> dict[str, Any]:
    columns = []
    for i, run in enumerate(runs):
        evaluation = run.evaluations.get(dataset)
        if evaluation is not None and task in evaluation.results:
            columns.append(_column(run, i, evaluation, task))
    summary = list(dict.fromkeys(f for column in columns for f in column["summary"]))
    classes = list(dict.fromkeys(c for column in columns for c in column["by_class"]))
    # Those without any figure come last.
    classes.sort(key=lambda c: not any(_has(x["by_class"].get(c, {})) for x in columns))
    figures = list(
        dict.fromkeys(f for column in columns for row in column["by_class"].values() for f in row)
    )
    return {
        "id": f"{dataset}-{task}".replace(" ", "-"),
        "dataset": dataset,
        "task": task,
        "columns": columns,
        "classes": classes,
        "figures": figures,
        "summary": summary,
        "cards": [f for f in summary if any(_has(c["summary"], f) for c in columns)][:_CARDS],
        "colors": _class_colors(columns, task),
        "has_pictures": any(column["examples"] for column in columns),
        "error_colors": [(k, "rgb({}, {}, {})".format(*c)) for k, c in ERROR_COLORS.items()],
        "pr_chart": _pr_chart(columns, task),
        "sizes": _sizes(columns),
    }


def _has(figures: dict[str, Any], name: str | None = None) -> bool:
    """Whether there is a value of a figure, or of any."""
    values = figures.values() if name is None else [figures.get(name)]
    return any(v is not None and v == v for v in values)


def _column(run: Run, index: int, evaluation: Evaluation, task: str) -> dict[str, Any]:
    """What a run has to say about a task."""
    results = evaluation.results[task]
    summary, by_class, notes = split_figures(results)
    content = evaluation.contents[task]
    calibration = content.get("calibration") or {}
    chart = None
    if calibration.get("ECE") is not None:
        label = f"reliability of {run.name}: expected calibration error {calibration['ECE']:.1f}%"
        chart = reliability_chart(calibration["bins"], color=index, label=label)
    shows = task == evaluation.examples_task
    return {
        "run": run,
        "index": index,
        "summary": summary,
        "by_class": by_class,
        "notes": notes,
        "intervals": {k: v for k, v in evaluation.intervals.items() if k in results},
        "confusion": confusion_table(content),
        "confusions": top_confusions(content),
        "calibration": calibration,
        "calibration_chart": chart,
        "content": content,
        "slices": slices_table(content, task),
        "errors": error_rows(content, task),
        "worst": content.get("worst_images") or {},
        "examples": [_example(e, run.folder) for e in evaluation.examples] if shows else [],
    }


def _class_colors(columns: Sequence[dict[str, Any]], task: str) -> list[tuple[str, str]]:
    """Class names and CSS colours of semantic pictures, as a run noted them."""
    for column in columns if task == "sem_seg" else ():
        metadata = column["run"].metadata
        if metadata is not None and metadata.get("stuff_colors"):
            pairs = zip(metadata.semantic_labels(), metadata.semantic_colors(), strict=True)
            return [(name, "rgb({}, {}, {})".format(*color)) for name, color in pairs]
    return []


def _example(example: dict[str, Any], run_folder: Path) -> dict[str, Any]:
    """The example with its pictures in place of the files' names."""
    files = {key: example.get(key, {}) for key in ("views", "class_errors")}
    size = {key: pixels(example, key) for key in ("width", "height")}
    pictures = {
        key: {name: data_uri(example["folder"], file, run_folder) for name, file in named.items()}
        for key, named in files.items()
    }
    return example | size | pictures


def _pr_chart(columns: Sequence[dict[str, Any]], task: str) -> str:
    """Precision over recall at IoU 0.5 (solid), and averaged over the thresholds (dashed)."""
    series = []
    for column in columns:
        curves = column["content"].get("pr_curves", {}).get(task, {})
        for name, precision in curves.items():
            points = [
                (i / (len(precision) - 1), p) for i, p in enumerate(precision) if p is not None
            ]
            if points and name != "0.75":
                label = f"{column['run'].name}, IoU {name}"
                series.append(Series(label, points, column["index"], dashed=":" in name))
    unit = (0.0, 1.0)
    label = "precision over recall: " + ", ".join(s.name for s in series)
    return line_chart(series, label=label, x_label="recall", x_range=unit, y_range=unit)


def _sizes(columns: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(name, figure) of AP by the size of the objects, where there are such figures."""
    there = {f for column in columns for f in column["summary"]}
    return [(name, f"AP{s}") for name, s in _SIZES if f"AP{s}" in there]
