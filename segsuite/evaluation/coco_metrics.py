"""COCO's figures of detections: average precision and recall, for boxes and for masks.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; see docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .coco_arrays import COCOPart, split_images
from .coco_engine_choice import build_engine
from .coco_engines import (
    AREA_RANGES,
    IOU_THRESHOLDS,
    MAX_DETECTIONS,
    COCOCurves,
    COCOEngine,
)
from .coco_files import read_objects
from .coco_results import detection_columns

# The mean over IoU thresholds 0.50, 0.55, ..., 0.95 unless the name has one; 100 detections an
# image and category unless it has a number; s, m, l: objects of up to 32^2, of 32^2 to 96^2, and
# of more pixels. As (kind, IoU threshold, area range, detections).
_SUMMARY: dict[str, tuple[str, float | None, str, int]] = {
    "AP": ("precision", None, "all", 100),
    "AP50": ("precision", 0.5, "all", 100),
    "AP75": ("precision", 0.75, "all", 100),
    "APs": ("precision", None, "small", 100),
    "APm": ("precision", None, "medium", 100),
    "APl": ("precision", None, "large", 100),
    "AR1": ("recall", None, "all", 1),
    "AR10": ("recall", None, "all", 10),
    "AR100": ("recall", None, "all", 100),
    "ARs": ("recall", None, "small", 100),
    "ARm": ("recall", None, "medium", 100),
    "ARl": ("recall", None, "large", 100),
}
# At another limit, whose number follows an @.
_AT_LIMIT = ("AP", "AP50", "AP75", "APs", "APm", "APl")
_AT_LIMIT_AS = {"AR100": "AR", "ARs": "ARs", "ARm": "ARm", "ARl": "ARl"}


@dataclass(frozen=True)
class COCOFigures:
    """Figures in [0, 1]; NaN where the ground truth has no object to find (pycocotools: -1).

    Attributes:
        summary: the twelve of COCO by name: AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs,
            ARm, ARl; then, for each limit of detections that was asked for beside COCO's, AP@300,
            AP50@300, AP75@300, APs@300, APm@300, APl@300, AR@300, ARs@300, ARm@300, ARl@300.
        ap_by_category: AP by the id of the category.
        pr_curves: precision at the recalls 0, 0.01, ..., 1, the mean over the categories, by IoU:
            "0.50", "0.75" and "0.50:0.95", the mean over the thresholds.
        ap_by_category_at: `ap_by_category` with other limits, by limit.
    """

    summary: dict[str, float]
    ap_by_category: dict[Any, float]
    pr_curves: dict[str, list[float]]
    ap_by_category_at: dict[int, dict[Any, float]]


def coco_figures(
    ground_truth: dict[str, Any],
    detections: Sequence[dict[str, Any]],
    task: str,
    *,
    engine: str = "auto",
    max_detections: Sequence[int] = (),
    dilation_ratio: float = 0.02,
) -> COCOFigures:
    """Compare detections with a ground truth.

    Args:
        ground_truth: the content of a COCO instances file. It is left as it is.
        detections: as in a COCO results file: `image_id`, `category_id`, `score` and what the task
            compares, `bbox` (x, y, width, height) or `segmentation` (compressed RLE).
        task: "bbox", "segm", or "boundary": masks, by the IoU of their boundaries too. Sizes of
            objects are of their boxes in the first case and of their masks in the others, as far as
            detections go; annotations have an `area`.
        engine: one of `ENGINES`.
        max_detections: limits of the detections of an image and category at which figures are
            given beside those of COCO, which are at 100.
        dilation_ratio: width of the band of "boundary" as a share of the image diagonal.

    Raises:
        DataError: a detection is not of this ground truth, or lacks what the task compares.
        UnknownNameError, MissingPackageError: see `choose_engine`.
    """
    objects, index = read_objects(ground_truth)
    parts = split_images(index.sizes, objects, detection_columns(detections, index))
    chosen = build_engine(
        *(engine, task, len(index.category_ids), limits(max_detections)),
        dilation_ratio=dilation_ratio,
    )
    return figures_of(match(parts, {task: chosen})[task], index.category_ids)


def match(parts: Iterable[COCOPart], engines: dict[str, COCOEngine]) -> dict[str, COCOCurves]:
    """Precision over recall by task, in one pass over the images.

    Args:
        parts: all images, in ascending order.
        engines: by task, without an image yet; they are taken out one by one, since each holds
            what it needs of all images.
    """
    tasks = list(engines)
    for part in parts:
        for engine in engines.values():
            engine.add(part)
    return {task: engines.pop(task).curves() for task in tasks}


def limits(max_detections: Iterable[int]) -> tuple[int, ...]:
    """COCO's limits of detections and others, ascending, as engines take them."""
    return tuple(sorted({*MAX_DETECTIONS, *max_detections}))


def figures_of(curves: COCOCurves, category_ids: Sequence[Hashable]) -> COCOFigures:
    """What COCO reports of precision over recall.

    Args:
        category_ids: by the number of the category.
    """
    summary = {name: figure_at(curves, *what) for name, what in _SUMMARY.items()}
    by_category_at = {}
    for limit in curves.max_detections:
        if limit in MAX_DETECTIONS:
            continue
        for name in (*_AT_LIMIT, *_AT_LIMIT_AS):
            kind, iou, area, _ = _SUMMARY[name]
            at_limit = f"{_AT_LIMIT_AS.get(name, name)}@{limit}"
            summary[at_limit] = figure_at(curves, kind, iou, area, limit)
        by_category_at[limit] = ap_by_category(curves, category_ids, limit)
    by_category = ap_by_category(curves, category_ids, 100)
    return COCOFigures(summary, by_category, pr_curves(curves, 100), by_category_at)


def pr_curves(curves: COCOCurves, max_detections: int) -> dict[str, list[float]]:
    """Precision at the recalls 0, 0.01, ..., 1, see `COCOFigures`."""
    of_all = curves.precision[..., 0, curves.max_detections.index(max_detections)]  # (T, R, K)
    thresholds = {"0.50": _at(0.5), "0.75": _at(0.75), "0.50:0.95": slice(None)}
    return {
        name: [mean_defined(of_all[chosen, recall]) for recall in range(of_all.shape[1])]
        for name, chosen in thresholds.items()
    }


def named_figures(figures: COCOFigures, names: Mapping[Any, str]) -> dict[str, float]:
    """All figures in percent, those of categories as ``AP-<name>`` and ``AP@<limit>-<name>``.

    Args:
        names: of the categories by id, in the order of the results.
    """
    named = dict(figures.summary)
    by_figure = {"AP": figures.ap_by_category}
    by_figure |= {f"AP@{limit}": by for limit, by in figures.ap_by_category_at.items()}
    for figure, by_category in by_figure.items():
        named |= {f"{figure}-{name}": by_category[c] for c, name in names.items()}
    return {name: 100 * value for name, value in named.items()}


def figure_at(
    curves: COCOCurves, kind: str, iou: float | None, area: str, max_detections: int
) -> float:
    """The mean precision or recall over all categories.

    Args:
        kind: "precision" or "recall".
        iou: the threshold; None: the mean over all.
        area: one of `AREA_RANGES`.
        max_detections: one of the limits of `curves`.
    """
    values = curves.precision if kind == "precision" else curves.recall
    if iou is not None:
        values = values[_at(iou)]
    a, m = AREA_RANGES.index(area), curves.max_detections.index(max_detections)
    return mean_defined(values[..., a, m])


def ap_by_category(
    curves: COCOCurves, category_ids: Sequence[Any], max_detections: int
) -> dict[Any, float]:
    m = curves.max_detections.index(max_detections)
    return {
        category: mean_defined(curves.precision[:, :, k, 0, m])
        for k, category in enumerate(category_ids)
    }


def _at(iou: float) -> slice:
    index = int(np.abs(IOU_THRESHOLDS - iou).argmin())
    return slice(index, index + 1)


def mean_defined(values: np.ndarray) -> float:
    """Over what is defined: -1 stands where there is nothing to find."""
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")
