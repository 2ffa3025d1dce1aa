"""The results of an evaluation as text for the terminal."""

from __future__ import annotations

from typing import Any

from .metrics import ABSENT_CLASS_RULES
from .panoptic_metrics import CROWD_RULES

_WIDTH = 80
_MEANINGS = ABSENT_CLASS_RULES | CROWD_RULES


def results_table(results: dict[str, dict[str, Any]], title: str = "") -> str:
    """Lay out results as aligned tables of at most 80 columns, one for each task.

    Figures whose name has the form ``<figure>-<class>`` stand in one row for each class, the others
    in a line above; text, such as the rules for absent classes and crowds, is spelled out.

    Args:
        results: ``{task: {figure: value}}`` as `DatasetEvaluator.evaluate` returns it.
        title: the name of the data set.
    """
    return "\n\n".join(_task_table(task, figures, title) for task, figures in results.items())


def _task_table(task: str, figures: dict[str, Any], title: str) -> str:
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

    lines = [f"{title}: {task}" if title else task]
    for names in _chunks(list(summary), 8):
        lines += _grid([names, [_number(summary[name]) for name in names]])
    for name, value in notes.items():
        meaning = f" ({_MEANINGS[value]})" if value in _MEANINGS else ""
        lines.append(f"  {name}: {value}{meaning}")
    if by_class:
        columns = list(next(iter(by_class.values())))
        rows = [[name, *(_number(row[c]) for c in columns)] for name, row in by_class.items()]
        lines += ["", *_grid([["class", *columns], *rows], names=True)]
    return "\n".join(lines)


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"


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
