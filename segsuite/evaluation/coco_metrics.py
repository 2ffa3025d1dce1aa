"""COCO's figures of detections: average precision and recall, for boxes and for masks.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014. Matching and curves are those of
pycocotools, or of faster-coco-eval, the same in C++; see docs/metrics.md.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from segsuite.errors import MissingPackageError, UnknownNameError
from segsuite.utils.registry import unknown_name

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
ENGINES = ("auto", "pycocotools", "faster_coco_eval")


@dataclass(frozen=True)
class COCOFigures:
    """Figures in [0, 1]; NaN where the ground truth has no object to find (pycocotools: -1).

    Attributes:
        summary: the twelve of COCO by name: AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs,
            ARm, ARl.
        ap_by_category: AP by the id of the category.
        pr_curves: precision at the recalls 0, 0.01, ..., 1, the mean over the categories, by IoU:
            "0.50", "0.75" and "0.50:0.95", the mean over the thresholds.
    """

    summary: dict[str, float]
    ap_by_category: dict[int, float]
    pr_curves: dict[str, list[float]]


def choose_engine(name: str) -> str:
    """The engine that "auto" stands for here; other names of `ENGINES` are returned as they are.

    Raises:
        UnknownNameError: no engine has that name.
        MissingPackageError: its package is not installed.
    """
    if name not in ENGINES:
        raise UnknownNameError(unknown_name(name, ENGINES, "engines (TEST.COCO_ENGINE)"))
    installed = find_spec("faster_coco_eval") is not None
    if name == "auto":
        return "faster_coco_eval" if installed else "pycocotools"
    if name == "faster_coco_eval" and not installed:
        raise MissingPackageError(
            "TEST.COCO_ENGINE is 'faster_coco_eval', which needs the package faster-coco-eval: "
            "pip install faster-coco-eval, or set it to 'auto'"
        )
    return name


def coco_figures(
    ground_truth: dict[str, Any],
    detections: Sequence[dict[str, Any]],
    task: str,
    *,
    engine: str = "auto",
) -> COCOFigures:
    """Compare detections with a ground truth.

    Args:
        ground_truth: the content of a COCO instances file. It is left as it is.
        detections: as in a COCO results file: `image_id`, `category_id`, `score` and what the task
            compares, `bbox` (x, y, width, height) or `segmentation` (compressed RLE).
        task: "bbox" or "segm". Sizes of objects are of their boxes in the first case and of their
            masks in the second, as far as detections go; annotations have an `area`.
        engine: one of `ENGINES`.
    """
    ground_truth, detections = _with_numbered_images(ground_truth, detections)
    coco_class, eval_class = _engine_classes(choose_engine(engine))
    # The engines tell what they do on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _index(coco_class, {**ground_truth, "annotations": _annotations(ground_truth)})
        found = _load_results(coco_class, truth, detections, task)
        evaluation = eval_class(truth, found, task)
        evaluation.evaluate()
        evaluation.accumulate()
    return _summarize(evaluation)


def _engine_classes(engine: str) -> tuple[type, type]:
    if engine == "faster_coco_eval":
        from faster_coco_eval import COCO, COCOeval_faster

        return COCO, COCOeval_faster
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    return COCO, COCOeval


def _with_numbered_images(
    ground_truth: dict[str, Any], detections: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], Sequence[dict[str, Any]]]:
    """Numbers in place of images' ids that are text, which faster-coco-eval does not take."""
    images = ground_truth["images"]
    if all(isinstance(image["id"], int) for image in images):
        return ground_truth, detections
    numbers = {image["id"]: number for number, image in enumerate(images, 1)}

    def numbered(entries: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
        return [{**entry, key: numbers[entry[key]]} for entry in entries]

    annotations = numbered(ground_truth["annotations"], "image_id")
    truth = {**ground_truth, "images": numbered(images, "id"), "annotations": annotations}
    return truth, numbered(detections, "image_id")


def _annotations(ground_truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Copies that the engines may write to, numbered from 1.

    To them id 0 says "not matched", and of annotations of one id they see the last alone.
    """
    return [
        {"iscrowd": 0, **annotation, "id": number}
        for number, annotation in enumerate(ground_truth["annotations"], 1)
    ]


def _index(coco_class: type, content: dict[str, Any]) -> Any:
    coco = coco_class()
    coco.dataset = content
    coco.createIndex()
    return coco


def _load_results(
    coco_class: type, truth: Any, detections: Sequence[dict[str, Any]], task: str
) -> Any:
    if not detections:  # which loadRes does not take
        return _index(coco_class, {**truth.dataset, "annotations": []})
    # Where there are boxes they, not the masks, would tell how large a detection is.
    other = {"segm": "bbox", "bbox": "segmentation"}[task]
    return truth.loadRes([{k: v for k, v in d.items() if k != other} for d in detections])


def _summarize(evaluation: Any) -> COCOFigures:
    params, counts = evaluation.params, evaluation.eval["counts"]
    thresholds, recalls, *others = counts
    precision = np.reshape(evaluation.eval["precision"], (thresholds, recalls, *others))
    recall = np.reshape(evaluation.eval["recall"], (thresholds, *others))
    summary = {}
    for name, (kind, iou, area, detections) in _SUMMARY.items():
        values = precision if kind == "precision" else recall
        if iou is not None:
            values = values[np.isclose(params.iouThrs, iou)]
        a, m = params.areaRngLbl.index(area), params.maxDets.index(detections)
        summary[name] = _mean(values[..., a, m])
    all_areas, most = params.areaRngLbl.index("all"), params.maxDets.index(100)
    by_category = {
        int(category): _mean(precision[:, :, k, all_areas, most])
        for k, category in enumerate(params.catIds)
    }
    curves = {"0.50": np.isclose(params.iouThrs, 0.5), "0.75": np.isclose(params.iouThrs, 0.75)}
    curves["0.50:0.95"] = np.ones(len(params.iouThrs), dtype=bool)
    of_all = precision[..., all_areas, most]  # (IoU threshold, recall, category)
    pr_curves = {
        name: [_mean(of_all[chosen, recall_index]) for recall_index in range(of_all.shape[1])]
        for name, chosen in curves.items()
    }
    return COCOFigures(summary, by_category, pr_curves)


def _mean(values: np.ndarray) -> float:
    """Over what is defined: -1 stands where there is nothing to find."""
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")
