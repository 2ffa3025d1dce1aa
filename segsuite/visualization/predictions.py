"""Draw what a model predicts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from segsuite.data import ImageReader, Metadata
from segsuite.data.palette import Color
from segsuite.structures import sem_seg_labels

from .sheet import comparison, contact_sheet, error_legend, legend, save_image

_SHEET_COLUMNS = 2
_SHEET_PANEL = 200


def draw_predictions(
    model: nn.Module,
    loader: Iterable[list[dict[str, Any]]],
    metadata: Metadata,
    output_dir: str | os.PathLike,
    *,
    limit: int = 8,
    reader: ImageReader | None = None,
) -> list[Path]:
    """Predict some images and write each beside its prediction, ground truth and errors.

    Args:
        model: semantic, in evaluation mode.
        loader: gives batches of records with ``file_name`` and ``image_id``, and ``sem_seg_gt``
            where there is a ground truth.
        metadata: names and colours of the classes.
        limit: the number of images, from the first on.
        reader: of the images, where they are other than 8-bit colours or grey.

    Returns:
        The files written: ``contact_sheet.png`` with all of them, then ``<image_id>.png`` of each.
    """
    output_dir, reader = Path(output_dir), reader or ImageReader()
    names, colors = metadata.semantic_labels(), metadata.semantic_colors()
    rows: list[np.ndarray] = []
    files = []
    for record in islice(chain.from_iterable(loader), limit):
        with torch.inference_mode():
            prediction = sem_seg_labels(model([record])[0]["sem_seg"]).cpu().numpy()
        target = record["sem_seg_gt"].numpy() if "sem_seg_gt" in record else None
        image = reader.display(reader.read(record["file_name"]))
        views = (image, prediction, target, colors)
        options = {"ignore_label": metadata.ignore_label}
        picture = comparison(*views, **options)
        footer = _footer(names, colors, picture.shape[1], target is not None)
        files.append(output_dir / f"{record['image_id']}.png")
        save_image(files[-1], contact_sheet([picture], footer=footer))
        # On the sheet, the first row says for all what the panels are.
        titles = len(rows) < _SHEET_COLUMNS
        rows.append(comparison(*views, **options, panel_width=_SHEET_PANEL, titles=titles))

    width = _SHEET_COLUMNS * rows[0].shape[1]
    footer = _footer(names, colors, width, target is not None)
    sheet = contact_sheet(rows, columns=_SHEET_COLUMNS, footer=footer)
    files.insert(0, output_dir / "contact_sheet.png")
    save_image(files[0], sheet)
    return files


def _footer(
    names: Sequence[str], colors: Sequence[Color], width: int, has_errors: bool
) -> np.ndarray:
    of_classes = legend(names, colors, width)
    return np.concatenate([of_classes, error_legend(width)]) if has_errors else of_classes
