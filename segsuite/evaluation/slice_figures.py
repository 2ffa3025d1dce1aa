"""Figures of slices of a data set, with intervals, as values that JSON can hold."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segsuite.utils.files import write_text

LEVEL = 0.95
# Of each slice: how many images it has, its figures, and the ends of their intervals, in percent.
SliceFigures = dict[str, dict[str, Any]]


def slice_entry(
    num_images: int, figures: Mapping[str, float], samples: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """What is written of a slice.

    Args:
        figures: in percent, NaN for none.
        samples: (S,) each, the same of S bootstrap samples of the slice's images.

    Returns:
        ``{"images", "results": {figure: percent}, "intervals": {figure: [low, high]}}``, None where
        there is no figure.
    """
    return {
        "images": num_images,
        "results": {name: _number(value) for name, value in figures.items()},
        "intervals": {name: _ends(samples[name]) for name in figures},
    }


def _ends(samples: np.ndarray) -> list[float | None]:
    """Lower and upper end of the interval that holds LEVEL of the samples."""
    samples = samples[~np.isnan(samples)]
    if not len(samples):
        return [None, None]
    ends: list[float | None] = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return ends


def write_slices(path: str | os.PathLike[str], slices: SliceFigures) -> None:
    """Write a CSV file with a line for each figure of each slice."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    share = f"{100 * LEVEL:g}"
    writer.writerow(["slice", "images", "figure", "value", f"low_{share}", f"high_{share}"])
    for name, of_slice in slices.items():
        for figure, value in of_slice["results"].items():
            ends = of_slice["intervals"].get(figure, [None, None])
            writer.writerow([name, of_slice["images"], figure, value, *ends])
    write_text(path, text.getvalue())


def main_figures(names: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Of the figures of a task, those of all classes; the name of the first that classes have; and
    the classes that have it."""
    summary = [name for name in names if "-" not in name]
    of_classes = [name.partition("-") for name in names if "-" in name]
    first = of_classes[0][0] if of_classes else ""
    return summary, first, [c for figure, _, c in of_classes if figure == first]


def _number(value: float) -> float | None:
    return None if value != value else value
