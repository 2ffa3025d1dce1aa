"""Which engine computes COCO's figures here.

Before an engine other than pycocotools is used it has to give pycocotools' figures for a small
made-up ground truth.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segsuite.errors import MissingPackageError, UnknownNameError
from segsuite.utils.registry import unknown_name

from .coco_arrays import COCODetections, COCOObjects, COCOPart
from .coco_engines import (
    MAX_DETECTIONS,
    COCOCurves,
    COCOEngine,
    FasterCOCOEvalEngine,
    HotcocoEngine,
    PycocotoolsEngine,
)
from .coco_matching import MatchingEngine

logger = logging.getLogger(__name__)

# The fastest first. As (package, least version that is known to be right, class).
_ENGINES: dict[str, tuple[str, tuple[int, int], Any]] = {
    "hotcoco": ("hotcoco", (1, 3), HotcocoEngine),
    "faster_coco_eval": ("faster-coco-eval", (1, 8), FasterCOCOEvalEngine),
    "pycocotools": ("pycocotools", (2, 0), PycocotoolsEngine),
}
ENGINES = ("auto", *_ENGINES)


def choose_engine(name: str) -> str:
    """The engine that "auto" stands for here; other names of `ENGINES` are returned as they are.

    Raises:
        UnknownNameError: no engine has that name.
        MissingPackageError: its package is not installed, too old, or wrong: its figures are not
            pycocotools'.
    """
    if name not in ENGINES:
        raise UnknownNameError(unknown_name(name, ENGINES, "engines (TEST.COCO_ENGINE)"))
    if name != "auto":
        fault = _fault(name)
        if fault is not None:
            raise MissingPackageError(
                f"TEST.COCO_ENGINE is '{name}', {fault}; pip install --upgrade "
                f"{_ENGINES[name][0]}, or set it to 'auto'"
            )
        return name
    for candidate in _ENGINES:
        fault = _fault(candidate)
        if fault is None:
            return candidate
        if _installed(_ENGINES[candidate][0]) is not None:
            logger.warning("COCO's figures are not computed by '%s', %s", candidate, fault)
    return "pycocotools"


def build_engine(
    name: str,
    task: str,
    num_categories: int,
    max_detections: Sequence[int] = MAX_DETECTIONS,
    *,
    dilation_ratio: float = 0.02,
) -> COCOEngine:
    """An engine that has no image yet.

    Args:
        name: one of `ENGINES`.
        task: "bbox", "segm" or "boundary", which one engine has, whatever the name.
        max_detections: limits of the detections of an image and category, ascending.
        dilation_ratio: width of the band of "boundary" as a share of the image diagonal.

    Raises:
        UnknownNameError, MissingPackageError: see `choose_engine`.
    """
    if task == "boundary":
        return MatchingEngine(task, num_categories, max_detections, dilation_ratio=dilation_ratio)
    engine: COCOEngine = _ENGINES[choose_engine(name)][2](task, num_categories, max_detections)
    return engine


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _fault(name: str) -> str | None:
    """Why an engine can't be used, as the end of a sentence; None: it can be."""
    package, least, _ = _ENGINES[name]
    installed = _installed(package)
    if installed is None:
        return f"which needs the package {package}"
    if _numbers(installed) < least:
        return f"which needs {package} {'.'.join(map(str, least))} or newer; {installed} is here"
    return None if name == "pycocotools" else _difference(name, installed)


def _numbers(text: str) -> tuple[int, ...]:
    """The first two numbers of a version."""
    parts = text.split(".")[:2]
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in parts)


@functools.cache
def _difference(name: str, installed: str) -> str | None:
    """What is wrong with this version of an engine, by a ground truth with all that is special."""
    package, _, engine_class = _ENGINES[name]
    for task in ("bbox", "segm"):
        try:
            ours, reference = (
                _run(engine(task, 3, (1, 2, 4)), _trial_parts())
                for engine in (engine_class, PycocotoolsEngine)
            )
        except Exception as e:  # of any kind: it is another's code, of a version nobody has seen
            return f"but {package} {installed} fails: {type(e).__name__}: {e}"
        for got, expected in (
            (ours.precision, reference.precision),
            (ours.recall, reference.recall),
        ):
            if got.shape != expected.shape or not np.allclose(got, expected, rtol=0, atol=1e-9):
                return f"but the figures of {package} {installed} are not those of pycocotools"
    return None


def _run(engine: COCOEngine, parts: Iterable[COCOPart]) -> COCOCurves:
    for part in parts:
        engine.add(part)
    return engine.curves()


def _trial_parts() -> list[COCOPart]:
    """Three images in two parts: a crowd, areas at the limits, equal scores over images, an empty
    image, a category without objects, and more detections than the limit."""
    sides = np.array([32, 33, 96, 31, 96, 32])
    boxes = np.array([[3 + 7 * i, 2 + 5 * i, s, s] for i, s in enumerate(sides)], dtype=np.float64)
    masks = [[np.array([x, y, x + w, y, x + w, y + h, x, y + h])] for x, y, w, h in boxes]
    objects = COCOObjects(
        images=np.array([0, 0, 0, 0, 2, 2]),
        categories=np.array([0, 0, 1, 1, 0, 1]),
        boxes=boxes,
        masks=masks,
        areas=boxes[:, 2] * boxes[:, 3],
        crowds=np.array([False, False, False, True, False, False]),
    )
    rows = np.array([0, 0, 1, 2, 2, 3, 3, 3, 4, 4, 5, 1])
    moved = boxes[rows] + np.array([[i % 4, (i * 3) % 5, i % 3 - 1, 0] for i in range(len(rows))])
    rles = [
        coco_mask.frPyObjects([[x, y, x + w, y, x + w, y + h, x, y + h]], 150, 160)[0]["counts"]
        for x, y, w, h in moved
    ]
    detections = COCODetections(
        images=objects.images[rows],
        categories=np.where(np.arange(len(rows)) == 11, 2, objects.categories[rows]),
        boxes=moved,
        masks=rles,
        scores=np.array([0.5, 0.5, 0.9, 0.5, 0.4, 0.3, 0.3, 0.8, 0.5, 0.7, 0.5, 0.6]),
    )
    whole = COCOPart(np.arange(3), np.full((3, 2), (150, 160)), objects, detections)
    return [whole.take(np.array([0, 1])), whole.take(np.array([2]))]
