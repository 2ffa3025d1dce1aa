"""Figures of instances for slices of a data set, with intervals by bootstrap over images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from .coco_arrays import COCOPart
from .coco_engines import AREA_RANGES, IOU_THRESHOLDS, RECALLS, COCOCurves
from .coco_matching import Judged, MatchingEngine, ToFind
from .slice_figures import SliceFigures, slice_entry

NUM_SAMPLES = 200
_CHUNK = 1 << 21  # numbers in memory at once
_T, _A = len(IOU_THRESHOLDS), len(AREA_RANGES)


class SliceEngine:
    """Takes images part by part, as a `COCOEngine` does, and gives the figures of slices.

    Args:
        engine: without an image yet.
        images: (N,) numbers of the images of each slice.
    """

    def __init__(self, engine: MatchingEngine, images: Mapping[str, np.ndarray]):
        self._engine, self._images = engine, images

    def add(self, part: COCOPart) -> None:
        """Match the detections of images; those of no slice are passed over."""
        wanted = np.unique(np.concatenate([*self._images.values(), np.zeros(0, np.int64)]))
        chosen = np.intersect1d(part.images, wanted)
        if len(chosen):
            self._engine.add(part.take(chosen))

    def figures(self, figures_of: Callable[[COCOCurves], Mapping[str, float]]) -> SliceFigures:
        """All figures of each slice that has an image.

        Args:
            figures_of: gives named figures in percent, NaN for none.
        """
        judged, objects = self._engine.judged()
        result: SliceFigures = {}
        for name, images in self._images.items():
            if not len(images):
                continue
            times = np.concatenate([np.ones((1, len(images))), drawn_times(len(images))])
            curves = sampled_curves(
                judged,
                objects,
                images,
                times,
                self._engine.num_categories,
                self._engine.max_detections,
            )
            of_all, *samples = map(figures_of, curves)
            stacked = {f: np.array([sample[f] for sample in samples]) for f in of_all}
            result[name] = slice_entry(len(images), of_all, stacked)
        return result


def drawn_times(num_images: int, num_samples: int = NUM_SAMPLES) -> np.ndarray:
    """(S, N): how often each of N images is among N that are drawn, S times. The same each call."""
    rng = np.random.default_rng(0)
    return rng.multinomial(num_images, np.full(num_images, 1 / num_images), num_samples) * 1.0


def sampled_curves(
    judged: Judged,
    objects: ToFind,
    images: np.ndarray,
    times: np.ndarray,
    num_categories: int,
    max_detections: tuple[int, ...],
) -> list[COCOCurves]:
    """Precision and recall where each of some images counts several times.

    Args:
        judged, objects: of `MatchingEngine.judged`.
        images: (N,) numbers of the images.
        times: (S, N) how often each counts, in each of S samples.

    Returns:
        S curves, with the mean precision over all recalls in the place of that at each: R is 1.
    """
    num_samples = len(times)
    by_image = np.full(1 + max(int(of.images.max(initial=-1)) for of in (judged, objects)), -1)
    inside = images[images < len(by_image)]
    by_image[inside] = np.flatnonzero(images < len(by_image))
    places = by_image[objects.images]
    kept = places >= 0
    # (S, K, A): objects to find.
    num_objects = np.zeros((num_samples, num_categories, _A))
    for k in np.unique(objects.categories[kept]).tolist():
        rows = kept & (objects.categories == k)
        num_objects[:, k] = times[:, places[rows]] @ objects.counts[rows].astype(np.float64)

    shape = num_categories, _A, len(max_detections)
    precision = np.full((num_samples, _T, 1, *shape), -1.0)
    recall = np.full((num_samples, _T, *shape), -1.0)
    places = by_image[judged.images]
    order = np.lexsort((-judged.scores, judged.categories))
    order = order[places[order] >= 0]
    ends = np.searchsorted(judged.categories[order], np.arange(num_categories + 1))
    for k, (start, end) in enumerate(pairwise(ends.tolist())):
        rows = order[start:end]
        matched, excused = judged.unpacked(rows)
        weights = times[:, places[rows]]
        for a in np.flatnonzero(num_objects[:, k].any(0)).tolist():
            total = num_objects[:, k, a]
            defined = total > 0
            for m, limit in enumerate(max_detections):
                counts = (judged.places[rows] < limit) & ~excused[:, :, a].all(1)
                right = matched[counts, :, a] & ~excused[counts, :, a]
                wrong = ~matched[counts, :, a] & ~excused[counts, :, a]
                values = _mean_precision(right, wrong, weights[defined][:, counts], total[defined])
                precision[defined, :, 0, k, a, m], recall[defined, :, k, a, m] = values
    return [COCOCurves(p, r, max_detections) for p, r in zip(precision, recall, strict=True)]


def _mean_precision(
    right: np.ndarray, wrong: np.ndarray, weights: np.ndarray, num_objects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(S, T) the mean precision over `RECALLS`, and (S, T) the recall that is reached.

    Args:
        right, wrong: (D, T) bool, detections by falling score.
        weights: (S, D), how often each counts.
        num_objects: (S,), above 0.
    """
    num_samples, count = weights.shape
    means, reached = np.zeros((2, num_samples, right.shape[1]))
    if not count:
        return means, reached
    step = max(1, _CHUNK // count)
    for t in range(right.shape[1]):
        hits = np.flatnonzero(right[:, t])
        if not len(hits):
            continue
        for first in range(0, num_samples, step):
            chunk = slice(first, first + step)
            found = np.cumsum(weights[chunk] * right[:, t], axis=1)
            false = np.cumsum(weights[chunk] * wrong[:, t], axis=1)
            precise = found / (found + false + np.spacing(1))
            precise = np.maximum.accumulate(precise[:, ::-1], axis=1)[:, ::-1]
            over = found[:, hits] / num_objects[chunk, None]
            # How many of the recalls are reached at each hit, for the first time.
            steps = np.searchsorted(RECALLS, over, side="right")
            steps = np.diff(steps, axis=1, prepend=1)
            sums = (precise[:, hits] * steps).sum(1) + precise[:, 0]
            means[chunk, t] = sums / len(RECALLS)
            reached[chunk, t] = over[:, -1]
    return means, reached
