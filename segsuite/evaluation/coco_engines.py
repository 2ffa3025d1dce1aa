"""What matches detections with objects by COCO's rules: three packages behind one interface.

pycocotools is the reference and always there; hotcoco and faster-coco-eval do the same in Rust and
C++. `build_engine` gives one of them.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Protocol

import numpy as np
from pycocotools import mask as coco_mask

from segsuite.utils.cores import available_cores

from .coco_arrays import (
    COCODetections,
    COCOObjects,
    COCOPart,
    concatenate,
)

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREA_RANGES = ("all", "small", "medium", "large")  # in pixels: to 32^2, from there to 96^2, more
MAX_DETECTIONS = (1, 10, 100)
_MOST_THREADS = 4  # to prepare the parts takes a quarter of the time that matching does

Box = list[float]


@dataclass(frozen=True)
class COCOCurves:
    """Precision over recall, -1 where there is nothing to find.

    Attributes:
        precision: (T, R, K, A, M) float64 in [0, 1], by IoU threshold (`IOU_THRESHOLDS`), recall
            (`RECALLS`), number of the category, area range (`AREA_RANGES`) and limit of detections.
        recall: (T, K, A, M) float64, the largest one that is reached.
        max_detections: M limits of the detections of an image and category that count, ascending.
    """

    precision: np.ndarray
    recall: np.ndarray
    max_detections: tuple[int, ...]


class COCOEngine(Protocol):
    """Takes images part by part, and then gives precision over recall of all of them."""

    def add(self, part: COCOPart) -> None:
        """Match the detections of images with their objects.

        Every image comes once, and images in ascending order: equal scores of several images rank
        in that order.
        """

    def curves(self) -> COCOCurves:
        """Of all images that were added. Nothing can be added afterwards."""


class HotcocoEngine:
    """Keeps some 20 bytes of a detection, whatever its mask takes.

    Parts are matched on threads, outside of Python's lock, each of which has images of its own.
    """

    def __init__(self, task: str, num_categories: int, max_detections: Sequence[int]):
        import hotcoco

        params = hotcoco.Params(task)
        params.max_dets = list(max_detections)
        categories = [{"id": k, "name": str(k)} for k in range(num_categories)]
        number = min(available_cores(), _MOST_THREADS)
        self._streams = [
            hotcoco.StreamingEval(categories, task, params=params) for _ in range(number)
        ]
        self._threads = [ThreadPoolExecutor(1) for _ in self._streams]
        # Which images a stream gets, and in what order, makes no difference.
        self._turns = cycle(zip(self._streams, self._threads, strict=True))
        self._running: deque[Future[None]] = deque()
        self._task, self._max_detections = task, tuple(max_detections)

    def add(self, part: COCOPart) -> None:
        objects, found = part.objects.of_task(self._task), part.detections.of_task(self._task)
        detections: Any
        if self._task == "bbox":
            columns = (found.images, *found.boxes.T, found.scores, found.categories)
            detections = np.column_stack(columns).astype(np.float64)
        else:  # without boxes, which would tell how large a detection is
            detections = _masks_found(part, found)
        if len(self._running) >= len(self._streams):  # so that no more than a few parts are held
            self._running.popleft().result()
        stream, thread = next(self._turns)
        entries = _entries(part, objects, self._task)
        self._running.append(thread.submit(stream.update, _images(part), entries, detections))

    def curves(self) -> COCOCurves:
        import hotcoco

        for running in self._running:
            running.result()
        for thread in self._threads:
            thread.shutdown()
        evaluation = hotcoco.StreamingEval.merge(self._streams).finalize()
        evaluation.accumulate()
        return _curves(evaluation.eval or {}, self._max_detections)


class PycocotoolsEngine:
    """The reference.

    Args:
        evaluation_class: a `COCOeval` that has another IoU, for instance.
    """

    def __init__(
        self,
        task: str,
        num_categories: int,
        max_detections: Sequence[int],
        evaluation_class: type | None = None,
    ):
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        self._coco_class, self._class = COCO, evaluation_class or COCOeval
        self._task, self._num_categories = task, num_categories
        self._max_detections = tuple(max_detections)
        self._images: list[int] = []
        self._matches: list[np.ndarray] = []  # (K, A, I) of each part

    def add(self, part: COCOPart) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # where it tells what it does
            evaluation = self._class(*_datasets(self._coco_class, part, self._task), self._task)
            self._set_params(evaluation, part.images.tolist())
            evaluation.evaluate()
        self._images += part.images.tolist()
        matches = np.empty(len(evaluation.evalImgs), dtype=object)
        matches[:] = [_needed(of_image) for of_image in evaluation.evalImgs]
        shape = (self._num_categories, len(AREA_RANGES), len(part.images))
        self._matches.append(matches.reshape(shape))

    def curves(self) -> COCOCurves:
        if not self._images or not self._num_categories:
            return _empty_curves(self._num_categories, self._max_detections)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = self._class(iouType=self._task)
            self._set_params(evaluation, self._images)
            evaluation._paramsEval = copy.deepcopy(evaluation.params)
            evaluation.evalImgs = np.concatenate(self._matches, axis=2).ravel().tolist()
            evaluation.accumulate()
        return _curves(evaluation.eval, self._max_detections)

    def _set_params(self, evaluation: Any, images: list[int]) -> None:
        evaluation.params.imgIds = images
        evaluation.params.catIds = list(range(self._num_categories))
        evaluation.params.maxDets = list(self._max_detections)


class FasterCOCOEvalEngine:
    """Keeps everything that is added up to the end."""

    def __init__(self, task: str, num_categories: int, max_detections: Sequence[int]):
        self._task, self._num_categories = task, num_categories
        self._max_detections = tuple(max_detections)
        self._parts: list[COCOPart] = []

    def add(self, part: COCOPart) -> None:
        self._parts.append(part)

    def curves(self) -> COCOCurves:
        if not self._parts or not self._num_categories:
            return _empty_curves(self._num_categories, self._max_detections)
        from faster_coco_eval import COCO, COCOeval_faster

        part = _joined(self._parts)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval_faster(*_datasets(COCO, part, self._task), self._task)
            evaluation.params.imgIds = part.images.tolist()
            evaluation.params.catIds = list(range(self._num_categories))
            evaluation.params.maxDets = list(self._max_detections)
            evaluation.evaluate()
            evaluation.accumulate()
        return _curves(evaluation.eval, self._max_detections)


def _images(part: COCOPart) -> list[dict[str, Any]]:
    return [
        {"id": number, "height": height, "width": width}
        for number, (height, width) in zip(part.images.tolist(), part.sizes.tolist(), strict=True)
    ]


def _masks_found(part: COCOPart, found: COCODetections) -> list[dict[str, Any]]:
    """Detections with masks as COCO's results files have them."""
    rows = zip(found.images.tolist(), found.categories.tolist(), found.scores.tolist(), strict=True)
    return [
        {"image_id": image, "category_id": category, "score": score, "segmentation": mask}
        for (image, category, score), mask in zip(rows, _compared(part, found, "segm"), strict=True)
    ]


def _entries(
    part: COCOPart, annotations: COCOObjects | COCODetections, task: str
) -> list[dict[str, Any]]:
    """Annotations of COCO's files, numbered from 1: id 0 says "not matched" to engines."""
    rows = zip(
        *(annotations.images.tolist(), annotations.categories.tolist()),
        _compared(part, annotations, task),
        strict=True,
    )
    key = "bbox" if task == "bbox" else "segmentation"
    # Written out, since there may be millions.
    if isinstance(annotations, COCODetections):
        return [
            {"id": i, "image_id": image, "category_id": category, key: value, "score": score}
            for i, ((image, category, value), score) in enumerate(
                zip(rows, annotations.scores.tolist(), strict=True), 1
            )
        ]
    more = zip(annotations.areas.tolist(), annotations.crowds.astype(int).tolist(), strict=True)
    return [
        {
            "id": i,
            "image_id": image,
            "category_id": category,
            key: value,
            "area": area,
            "iscrowd": crowd,
        }
        for i, ((image, category, value), (area, crowd)) in enumerate(
            zip(rows, more, strict=True), 1
        )
    ]


def _compared(part: COCOPart, annotations: COCOObjects | COCODetections, task: str) -> list[Any]:
    """The boxes, or the masks as COCO's files have them."""
    if task == "bbox":
        boxes: list[Any] = annotations.boxes.tolist()
        return boxes
    sizes = part.sizes[np.searchsorted(part.images, annotations.images)].tolist()
    return [
        [polygon.tolist() for polygon in mask]
        if isinstance(mask, list)
        else {"size": size, "counts": mask}
        for mask, size in zip(annotations.masks, sizes, strict=True)
    ]


def _datasets(coco_class: type, part: COCOPart, task: str) -> tuple[Any, Any]:
    """The ground truth and the detections as the COCO objects of an engine."""
    found = part.detections.of_task(task)
    detections = _entries(part, found, task)
    if task == "bbox":
        areas = (found.boxes[:, 2] * found.boxes[:, 3]).tolist()
    else:
        areas = [float(coco_mask.area(entry["segmentation"])) for entry in detections]
    for entry, area in zip(detections, areas, strict=True):
        entry |= {"area": area, "iscrowd": 0}
    objects = _entries(part, part.objects.of_task(task), task)
    return _dataset(coco_class, part, objects), _dataset(coco_class, part, detections)


def _dataset(coco_class: type, part: COCOPart, annotations: list[dict[str, Any]]) -> Any:
    coco = coco_class()
    coco.dataset = {"images": _images(part), "annotations": annotations, "categories": []}
    coco.createIndex()
    return coco


def _joined(parts: Sequence[COCOPart]) -> COCOPart:
    return COCOPart(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        concatenate([part.objects for part in parts]),
        concatenate([part.detections for part in parts]),
    )


def _needed(of_image: dict[str, Any] | None) -> dict[str, Any] | None:
    """Of what pycocotools keeps of an image, category and area range, what it reads again."""
    if of_image is None:
        return None
    return {
        "dtScores": of_image["dtScores"],
        "dtMatches": np.asarray(of_image["dtMatches"]) > 0,
        "dtIgnore": np.asarray(of_image["dtIgnore"], dtype=bool),
        "gtIgnore": of_image["gtIgnore"],
    }


def _curves(evaluated: dict[str, Any], max_detections: tuple[int, ...]) -> COCOCurves:
    thresholds, recalls, *others = evaluated["counts"]
    return COCOCurves(
        np.reshape(evaluated["precision"], (thresholds, recalls, *others)),
        np.reshape(evaluated["recall"], (thresholds, *others)),
        max_detections,
    )


def _empty_curves(num_categories: int, max_detections: tuple[int, ...]) -> COCOCurves:
    shape = (num_categories, len(AREA_RANGES), len(max_detections))
    return COCOCurves(
        np.full((len(IOU_THRESHOLDS), len(RECALLS), *shape), -1.0),
        np.full((len(IOU_THRESHOLDS), *shape), -1.0),
        max_detections,
    )
