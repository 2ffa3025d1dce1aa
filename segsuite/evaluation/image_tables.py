"""The figures of each image as a table, and the worst images of each class."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from segsuite.errors import ConfigError, MissingPackageError
from segsuite.utils.files import atomic_file, write_text

from .metrics import metrics_of_counts
from .slices import Slices

_FORMATS = ("csv", "parquet")
_NUM_WORST = 5
# In an image of its own a class that is neither labelled nor predicted has no figure.
_RULE = "nanmean"


def check_table_format(name: str) -> None:
    """Check a value of TEST.SEM_SEG.IMAGE_TABLE.

    Raises:
        ConfigError: it is neither "", "csv" nor "parquet".
        MissingPackageError: it is "parquet", and pyarrow is not installed.
    """
    if name and name not in _FORMATS:
        raise ConfigError(
            f"TEST.SEM_SEG.IMAGE_TABLE is '{name}'; expected 'csv', 'parquet', or '' for no table"
        )
    if name == "parquet" and find_spec("pyarrow") is None:
        raise MissingPackageError(
            "TEST.SEM_SEG.IMAGE_TABLE is 'parquet', which needs the package pyarrow: pip install "
            '"segsuite-torch[parquet]", or set it to csv'
        )


def image_columns(
    images: dict[str, Any], names: Sequence[str], averaged: Sequence[int], slices: Slices | None
) -> dict[str, list[Any]]:
    """The table by column, images with the lowest mIoU first.

    Args:
        images: as `ImageCounts.gather` gives them, with ``counts``.
        names: of the K classes.
        averaged: those that the means are over.

    Returns:
        ``image_id``, ``file_name``, ``labelled_pixels``, the figures in percent, None where an
        image has none, and with slices ``slices``, their names with ";" between them.
    """
    counts = images["counts"]
    metrics = metrics_of_counts(counts, absent_classes=_RULE, averaged=averaged)
    figures = metrics.named(names)
    order = figures["mIoU"].nan_to_num(nan=2.0).argsort(stable=True).tolist()
    columns: dict[str, list[Any]] = {
        "image_id": [images["image_ids"][i] for i in order],
        "file_name": [images["file_names"][i] for i in order],
        "labelled_pixels": counts[order, 1].sum(-1).tolist(),
    }
    for name, values in figures.items():
        columns[name] = [None if v != v else v for v in (100 * values[order]).tolist()]
    if slices is not None:
        of_image: dict[str, list[str]] = {}
        for name, ids in slices.images.items():
            for image in ids:
                of_image.setdefault(str(image), []).append(name)
        columns["slices"] = [";".join(of_image.get(i, [])) for i in columns["image_id"]]
    return columns


def write_table(path: Path, columns: dict[str, list[Any]]) -> None:
    """Write columns as CSV, or as Parquet where the file's name ends so."""
    if path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        with atomic_file(path, "wb") as file:
            parquet.write_table(pyarrow.table(columns), file)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    write_text(path, text.getvalue())


def worst_images(images: dict[str, Any], names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The images in which each class has the lowest IoU, of those where it is labelled or
    predicted, the worst first: ``{class: [{"image_id", "file_name", "IoU": percent}]}``."""
    counts = images["counts"]
    if counts is None:
        return {}
    iou = metrics_of_counts(counts, absent_classes=_RULE).iou
    worst: dict[str, list[dict[str, Any]]] = {}
    for k, name in enumerate(names):
        there = (~iou[:, k].isnan()).nonzero().flatten()
        order = there[iou[there, k].argsort(stable=True)][:_NUM_WORST].tolist()
        worst[name] = [
            {
                "image_id": images["image_ids"][i],
                "file_name": images["file_names"][i],
                "IoU": 100 * float(iou[i, k]),
            }
            for i in order
        ]
    return worst
