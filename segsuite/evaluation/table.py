"""The results of an evaluation as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .metrics import ABSENT_CLASS_RULES
from .panoptic_metrics import CROWD_RULES
from .slice_figures import main_figures

_WIDTH = 80
_SLICE_FIGURES, _SLICE_COLUMNS, _SLICE_NAME = 3, 5, 10
_MEANINGS = ABSENT_CLASS_RULES | CROWD_RULES


def results_table(results: dict[str, dict[str, Any]], title: str = "") -> str:
    """Lay out results as aligned tables of at most 80 columns, one for each task.

    Figures whose name has the form ``<figure>-<class>`` stand in one row for each class, the others
    in a line above; text, such as the rules for absent classes and crowds, is spelled out. The
    figures of slices are a table of their own.

    Args:
        results: ``{task: {figure: value}}`` as `DatasetEvaluator.evaluate` returns it; figures that
            are of no task come first.
        title: the name of the data set.
    """
    # An evaluator may give figures of no task, as those of Detectron2 may.
    alone = {name: value for name, value in results.items() if not isinstance(value, Mapping)}
    tables = [_task_table("", alone, title)] if alone else []
    tables += [_task_table(task, results[task], title) for task in results if task not in alone]
    return "\n\n".join(tables)


def _task_table(task: str, figures: dict[str, Any], title: str) -> str:
    nested = {k: v for k, v in figures.items() if isinstance(v, Mapping)}
    figures = {k: v for k, v in figures.items() if k not in nested}
    notes = {k: v for k, v in figures.items() if isinstance(v, str)}
    by_class: dict[str, dict[str, float]] = {}
    summary: dict[str, float] = {}
    for name, value in figures.items():
        figure, dash, class_name = name.partition("-")
        if name in notes:
            continue
        if dash:
            by_class.setdefault(class_name, {})[figure] = value
        else:
            summary[name] = value

    heading = ": ".join(filter(None, [title, task]))
    lines = [heading] if heading else []
    for names in _chunks(list(summary), 8):
        lines += _grid([names, [_number(summary[name]) for name in names]])
    for name, value in notes.items():
        meaning = f" ({_MEANINGS[value]})" if value in _MEANINGS else ""
        lines.append(f"  {name}: {value}{meaning}")
    if by_class:
        columns = list(next(iter(by_class.values())))
        rows = [[name, *(_number(row[c]) for c in columns)] for name, row in by_class.items()]
        lines += ["", *_grid([["class", *columns], *rows], names=True)]
    if "slices" in nested:
        lines += _slices_lines(nested["slices"])
    return "\n".join(lines)


def _slices_lines(slices: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Each slice with its main figures, and each class with its main figure in all slices."""
    first = next(iter(slices.values()), None)
    if first is None:
        return []
    summary, by_class, classes = main_figures(list(first["results"]))
    shown = summary[:_SLICE_FIGURES]
    rows = [["slice", "images", shown[0], "2.5 %", "97.5 %", *shown[1:]]]
    for name, of_slice in slices.items():
        value, *others = (_number(of_slice["results"][f]) for f in shown)
        ends = map(_number, of_slice["intervals"][shown[0]])
        rows.append([name, str(of_slice["images"]), value, *ends, *others])
    lines = ["", *_grid(rows, names=True)]
    for names in _chunks(list(slices), _SLICE_COLUMNS):
        rows = [[f"{by_class} of", *(_shorten(name, _SLICE_NAME) for name in names)]]
        for c in classes:
            values = (slices[name]["results"][f"{by_class}-{c}"] for name in names)
            rows.append([c, *map(_number, values)])
        lines += ["", *_grid(rows, names=True)] if classes else []
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.2f}"


def _grid(rows: list[list[str]], names: bool = False) -> list[str]:
    """Right-aligned columns, the first one left-aligned if it holds names, with a rule below the
    header."""
    numbers = [row[1:] if names else row for row in rows]
    width = max((len(cell) for row in numbers for cell in row), default=0) + 2
    lines = ["".join(cell.rjust(width) for cell in row) for row in numbers]
    if names:
        room = _WIDTH - 2 - max(map(len, lines))
        labels = [_shorten(row[0], room) for row in rows]
        longest = max(map(len, labels))
        lines = [f"  {a.ljust(longest)}{b}" for a, b in zip(labels, lines, strict=True)]
    return [lines[0], "  " + "-" * (max(map(len, lines)) - 2), *lines[1:]]


def _chunks(items: list[str], size: int) -> list[list[str]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
