"""What a report says, as plain values: tables, confusions and differences."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from segsuite.runs import Run

# What every run has of its own; no difference worth telling.
_OWN_KEYS = {"OUTPUT_DIR", "VERSION"}
_MAX_MATRIX = 32
_ABSENT = "—"


def split_figures(figures: dict[str, Any]) -> tuple[dict, dict[str, dict], dict[str, str]]:
    """Figures of a task as summary, by class (``{class: {figure: value}}``) and notes in words."""
    summary, notes = {}, {}
    by_class: dict[str, dict[str, Any]] = {}
    for name, value in figures.items():
        figure, dash, class_name = name.partition("-")
        if not (value is None or isinstance(value, (int, float))):
            notes[name] = str(value)
        elif dash:
            by_class.setdefault(class_name, {})[figure] = value
        else:
            summary[name] = value
    return summary, by_class, notes


def config_differences(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """The keys in which runs differ, and the value of each run; those that one lacks come last."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    rows = []
    for key in keys:
        values = [run.settings.get(key, _ABSENT) for run in runs]
        if key not in _OWN_KEYS and any(v != values[0] for v in values):
            rows.append((key, [str(v) for v in values]))
    return sorted(rows, key=lambda row: _ABSENT in row[1])


def confusion_table(content: dict[str, Any]) -> dict[str, Any] | None:
    """The confusion matrix in shares of each ground-truth class.

    Returns:
        ``names``, ``rows`` of (share, pixels) cells, and ``left_out``, how many classes are not
        shown: of many classes those with the most wrong pixels are.
    """
    matrix = content.get("confusion_matrix")
    if not matrix:
        return None
    names = content["classes"]
    count = len(names)
    wrong = [sum(matrix[i]) - matrix[i][i] for i in range(count)]
    chosen = sorted(sorted(range(count), key=lambda i: -wrong[i])[:_MAX_MATRIX])
    rows = []
    for i in chosen:
        total = sum(matrix[i])
        rows.append([(matrix[i][j] / total if total else None, matrix[i][j]) for j in chosen])
    return {"names": [names[i] for i in chosen], "rows": rows, "left_out": count - len(chosen)}


def top_confusions(content: dict[str, Any], count: int = 8) -> list[dict[str, Any]]:
    """The classes that are taken for others most often, as shares of their pixels."""
    matrix, names = content.get("confusion_matrix"), content.get("classes", [])
    if not matrix:
        return []
    found = []
    for i, name in enumerate(names):
        total = sum(matrix[i])
        for j, other in enumerate(names):
            if i != j and total and matrix[i][j]:
                share = matrix[i][j] / total
                found.append(
                    {"share": share, "pixels": matrix[i][j], "truth": name, "prediction": other}
                )
    return sorted(found, key=lambda c: -c["share"])[:count]


def slices_table(content: dict[str, Any], task: str) -> dict[str, Any] | None:
    """The figures of slices: ``rows`` of name, images, results and intervals, the names of the
    figures of all classes, ``summary``, and ``figure``, the one that is shown by class, of
    ``classes``. None where there are none."""
    slices = content.get("slices") or {}
    slices = slices.get(task, slices)  # those of instances are by task
    rows = [
        {"name": name, **of_slice} for name, of_slice in slices.items() if "results" in of_slice
    ]
    if not rows:
        return None
    summary, by_class, _ = split_figures(rows[0]["results"])
    figure = next((f for of_class in by_class.values() for f in of_class), "")
    classes = [name for name, of_class in by_class.items() if figure in of_class]
    return {"rows": rows, "summary": list(summary), "figure": figure, "classes": classes}


def error_rows(content: dict[str, Any], task: str) -> list[dict[str, Any]]:
    """The errors of instances by kind: ``kind``, ``count`` and ``dAP`` of each."""
    errors = (content.get("errors") or {}).get(task) or {}
    return [{"kind": kind, **of_kind} for kind, of_kind in errors.get("kinds", {}).items()]


def facts(run: Run) -> list[tuple[str, str]]:
    """What was run, and where, in pairs of name and value."""
    config = run.settings
    first, *resumed = run.info.get("starts") or [{}]
    model = str(config.get("MODEL.META_ARCHITECTURE", ""))
    parts = [config.get("MODEL.BACKBONE.NAME"), config.get("MODEL.SEM_SEG_HEAD.NAME")]
    if model == "SemanticSegmentor":
        model += f" ({', '.join(str(p) for p in parts if p)})"
    rows = [
        ("started", _time(first.get("started", ""))),
        ("command", first.get("command", "")),
        *_resumed_rows(first, resumed),
        ("model", model),
        ("first weights", str(config.get("MODEL.WEIGHTS") or "random")),
        ("trained on", _names(config.get("DATASETS.TRAIN"))),
        ("iterations", str(config.get("SOLVER.MAX_ITER", ""))),
        ("images a step", str(config.get("SOLVER.IMS_PER_BATCH", ""))),
        ("optimiser", f"{config.get('SOLVER.OPTIMIZER', '')}, lr {config.get('SOLVER.BASE_LR')}"),
        ("seed", str(config.get("SEED", ""))),
        ("git revision", first.get("git_revision") or "unknown"),
        ("plug-ins", ", ".join(map(_plugin_name, first.get("plugins", [])))),
        *first.get("environment", {}).items(),
        ("folder", str(run.folder)),
    ]
    return [(name, value) for name, value in rows if value]


def speed_rows(run: Run) -> list[tuple[str, str]]:
    """Seconds and memory of training and of the evaluation on the first data set."""
    rows = []
    for name, figure in (("training step", "time"), ("of which data", "data_time")):
        values = sorted(v for _, v in run.curve(figure))
        if values:
            rows.append((name, f"{1e3 * values[len(values) // 2]:.0f} ms (median)"))
    speed = next((evaluation.speed for evaluation in run.evaluations.values()), {})
    if speed:
        rows.append(("evaluation", f"{speed['images'] / speed['seconds']:.1f} images/s"))
        for phase, ms in speed["ms_per_image"].items():
            rows.append((f"  {phase}", f"{ms:.1f} ms an image"))
        if speed["peak_memory_mib"]:
            rows.append(("peak memory", f"{speed['peak_memory_mib']:,.0f} MiB"))
        if speed.get("peak_gpu_memory_mib"):
            rows.append(("peak GPU memory", f"{speed['peak_gpu_memory_mib']:,.0f} MiB"))
    return rows


def _names(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value or "")


def _resumed_rows(first: dict[str, Any], resumed: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """When and how the run went on, and what was no longer as at the start before."""
    rows = []
    before = first
    for start in resumed:
        rows.append(("resumed", f"{_time(start['started'])}, at iteration {start['iteration']}"))
        rows.append(("  command", start["command"]))
        was, now = _circumstances(before), _circumstances(start)
        changes = [f"{k} {was.get(k)} → {now.get(k)}" for k in now if was.get(k) != now[k]]
        rows.append(("  changed", "; ".join(changes)))
        before = start
    return rows


def _circumstances(start: dict[str, Any]) -> dict[str, Any]:
    plugins = ", ".join(map(_plugin_name, start.get("plugins", []))) or "none"
    facts = {"git revision": start.get("git_revision"), "processes": start.get("processes")}
    return {**facts, "plug-ins": plugins, **start.get("environment", {})}


def _plugin_name(plugin: dict[str, Any]) -> str:
    version = f" ({plugin['distribution']} {plugin['version']})" if "version" in plugin else ""
    return plugin["module"] + version


def _time(text: str) -> str:
    if not text:
        return ""
    return datetime.datetime.fromisoformat(text).strftime("%d %B %Y, %H:%M UTC")
