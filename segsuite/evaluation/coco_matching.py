"""COCO's matching of detections with objects in NumPy, for what its engines have not: the rules of
LVIS, and the IoU of boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from .coco_arrays import COCODetections, COCOObjects, COCOPart
from .coco_engines import IOU_THRESHOLDS, RECALLS, COCOCurves
from .coco_overlaps import LEAST_IOU, Masks, boundary_ious, box_ious, find_pairs, mask_ious

# (A, 2) square pixels, both ends included: those of `coco_engines.AREA_RANGES`.
_AREAS = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]])
_T, _A = len(IOU_THRESHOLDS), len(_AREAS)


@dataclass(frozen=True)
class Federation:
    """What LVIS says of its images, in which not everything is annotated (Gupta et al., "LVIS",
    CVPR 2019).

    Attributes:
        negative: (N, 2) int64, numbers of images and of categories that are known not to be there.
            Detections count where the category is one of these, or has an object in the image.
        not_exhaustive: (M, 2) int64, categories that may have further objects there: detections
            without an object are no mistake.
        max_detections: how many detections of an image count, the best ones of all categories.
    """

    negative: np.ndarray
    not_exhaustive: np.ndarray
    max_detections: int = 300


class MatchingEngine:
    """Matches all detections of some images at once; a `COCOEngine`.

    It keeps some 40 bytes of a detection.

    Args:
        task: "bbox", "segm" or "boundary".
        max_detections: limits of the detections of an image and category, ascending.
        federation: for the rules of LVIS, to which a crowd is an object like others; None: those
            of COCO.
        dilation_ratio: width of the band of "boundary" as a share of the image diagonal.
    """

    def __init__(
        self,
        task: str,
        num_categories: int,
        max_detections: Sequence[int],
        *,
        federation: Federation | None = None,
        dilation_ratio: float = 0.02,
    ):
        self._task, self._num_categories = task, num_categories
        self._max_detections = tuple(max_detections)
        self._dilation_ratio = dilation_ratio
        self._federation = federation
        if federation is not None:
            self._negative = np.unique(self._keys(*federation.negative.T))
            self._not_exhaustive = np.unique(self._keys(*federation.not_exhaustive.T))
        # (K, A): objects to find.
        self._num_objects = np.zeros((num_categories, _A), dtype=np.int64)
        self._judged: list[Judged] = []
        self._to_find: list[ToFind] = []

    @property
    def num_categories(self) -> int:
        return self._num_categories

    @property
    def max_detections(self) -> tuple[int, ...]:
        return self._max_detections

    def judged(self) -> tuple[Judged, ToFind]:
        """All detections that count, and all objects, of the images that were added."""
        return Judged.concatenate(self._judged), ToFind.concatenate(self._to_find)

    def add(self, part: COCOPart) -> None:
        """See `COCOEngine`."""
        task = "bbox" if self._task == "bbox" else "segm"
        objects = part.objects.of_task(task)
        if self._federation is not None:
            objects = replace(objects, crowds=np.zeros(len(objects), dtype=bool))
        detections, places = self._counting(part.detections.of_task(task), objects)
        ignored = _outside(objects.areas) | objects.crowds[:, None]
        np.add.at(self._num_objects, objects.categories, ~ignored)
        self._to_find.append(ToFind(objects.images, objects.categories, ~ignored))

        areas, pairs, ious = self._overlaps(part, detections, objects)
        matched, excused = match(len(detections), pairs, ious, ignored, objects.crowds)
        unjudged = _outside(areas)
        if self._federation is not None:
            keys = self._keys(detections.images, detections.categories)
            unjudged |= _among(keys, self._not_exhaustive)[:, None]
        excused |= ~matched & unjudged[:, None, :]
        columns = (detections.images, detections.categories, detections.scores, places)
        self._judged.append(Judged(*columns, _pack(matched), _pack(excused)))

    def curves(self) -> COCOCurves:
        """See `COCOEngine`."""
        shape = self._num_categories, _A, len(self._max_detections)
        precision = np.full((_T, len(RECALLS), *shape), -1.0)
        recall = np.full((_T, *shape), -1.0)
        judged = Judged.concatenate(self._judged)
        order = np.lexsort((-judged.scores, judged.categories))
        ends = np.searchsorted(judged.categories[order], np.arange(self._num_categories + 1))
        for k, (start, end) in enumerate(pairwise(ends.tolist())):
            rows = order[start:end]
            matched, excused = judged.unpacked(rows)
            for m, limit in enumerate(self._max_detections):
                counts = judged.places[rows] < limit
                for a in np.flatnonzero(self._num_objects[k]):
                    right, wrong = (
                        hits[counts, :, a] & ~excused[counts, :, a] for hits in (matched, ~matched)
                    )
                    over_recall, reached = _curve(right, wrong, int(self._num_objects[k, a]))
                    precision[:, :, k, a, m], recall[:, k, a, m] = over_recall, reached
        return COCOCurves(precision, recall, self._max_detections)

    def _counting(
        self, detections: COCODetections, objects: COCOObjects
    ) -> tuple[COCODetections, np.ndarray]:
        """Those that count, by image, category and falling score, and (D,) their places, from 0,
        among those of their image and category."""
        if self._federation is not None:
            best = _places(detections.scores, detections.images) < self._federation.max_detections
            keys = self._keys(detections.images, detections.categories)
            present = np.unique(self._keys(objects.images, objects.categories))
            stated = _among(keys, self._negative) | _among(keys, present)
            detections = detections.take(best & stated)
        groups = self._keys(detections.images, detections.categories)
        places = _places(detections.scores, groups)
        order = np.lexsort((places, groups))
        order = order[places[order] < self._max_detections[-1]]
        return detections.take(order), places[order]

    def _overlaps(
        self, part: COCOPart, detections: COCODetections, objects: COCOObjects
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
        """(D,) the areas of the detections; the pairs that may match, as `match` takes them; (P,)
        their IoU."""
        rows, columns, groups = find_pairs(detections, objects)
        crowds = objects.crowds[columns]
        if self._task == "bbox":
            areas = detections.boxes[:, 2] * detections.boxes[:, 3]
            ious = box_ious(detections.boxes[rows], objects.boxes[columns], crowds)
        else:
            found, true = (
                Masks(of.masks, part.sizes[np.searchsorted(part.images, of.images)])
                for of in (detections, objects)
            )
            areas = found.areas()
            ious = mask_ious(found, true, (rows, columns, groups), crowds)
        near = ious >= LEAST_IOU
        pairs, ious, single = (rows[near], columns[near], groups[near]), ious[near], ~crowds[near]
        if self._task == "boundary":  # of a crowd it is the share of the detection alone
            ious[single] = boundary_ious(
                *(found, true, (pairs[0][single], pairs[1][single]), ious[single]),
                self._dilation_ratio,
            )
        return areas, pairs, ious

    def _keys(self, images: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """A number for each image and category."""
        keys: np.ndarray = images * self._num_categories + categories
        return keys


@dataclass(frozen=True)
class ToFind:
    """Objects: (N,) images and categories; (N, A) bool, whether they are to be found, by area
    range."""

    images: np.ndarray
    categories: np.ndarray
    counts: np.ndarray

    @classmethod
    def concatenate(cls, parts: Sequence[ToFind]) -> ToFind:
        none = np.zeros(0, dtype=np.int64)
        columns = [vars(part) for part in (cls(none, none, np.zeros((0, _A), bool)), *parts)]
        return cls(**{name: np.concatenate([c[name] for c in columns]) for name in columns[0]})


@dataclass(frozen=True)
class Judged:
    """Detections: (D,) images, categories, scores and places; (D, B) uint8 packed bits, by
    threshold and area range, of whether they are matched, and whether they do not count."""

    images: np.ndarray
    categories: np.ndarray
    scores: np.ndarray
    places: np.ndarray
    matched: np.ndarray
    excused: np.ndarray

    @classmethod
    def concatenate(cls, parts: Sequence[Judged]) -> Judged:
        none = np.zeros(0, dtype=np.int64)
        bits = _pack(np.zeros((0, _T, _A), dtype=bool))
        columns = [vars(part) for part in (cls(none, none, none, none, bits, bits), *parts)]
        return cls(**{name: np.concatenate([c[name] for c in columns]) for name in columns[0]})

    def unpacked(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(R, T, A) bool of some rows: whether they are matched, and whether they do not count."""
        return _unpack(self.matched[rows]), _unpack(self.excused[rows])


def match(
    num_detections: int,
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    ious: np.ndarray,
    ignored: np.ndarray,
    shared: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Match detections with objects as COCO does, for all thresholds and area ranges.

    In the order of their scores each takes the object that is free, or shared, with the largest
    IoU that reaches the threshold, the last one of equals; one that is to be ignored only where
    there is no other.

    Args:
        num_detections: D, of groups (images and categories) one after another, the best ones first.
        pairs: of those of a group that may match (P,) rows of detections, ascending, (P,) rows of
            objects, and (P,) the groups.
        ious: (P,) their IoU.
        ignored: (N, A) bool, the objects that need not be found, by area range.
        shared: (N,) bool, the objects that any number of detections may take.

    Returns:
        (D, T, A) bool, whether a detection is matched, and whether that is with an ignored object.
    """
    matched = np.zeros((num_detections, _T, _A), dtype=bool)
    excused = np.zeros_like(matched)
    taken = np.zeros((len(ignored), _T, _A), dtype=bool)
    rows, columns, groups = pairs
    detections, first, counts = np.unique(rows, return_index=True, return_counts=True)
    # Groups do not depend on each other: the first detections of all come first, then the second.
    turns = _within(groups[first])
    for turn in range(int(turns.max(initial=-1)) + 1):
        now = np.flatnonzero(turns == turn)
        offsets = np.arange(int(counts[now].max()))
        valid = offsets < counts[now, None]
        places = np.where(valid, first[now, None] + offsets, 0)
        objects, iou = columns[places], np.where(valid, ious[places], -1)  # (n, C)
        free = ~taken[objects] | shared[objects][..., None, None]
        fits = free & (iou[..., None] >= IOU_THRESHOLDS)[..., None]  # (n, C, T, A)
        others = ignored[objects][:, :, None, :]
        best, found = _best(iou, fits & ~others)
        instead, found_ignored = _best(iou, fits & others)
        excused[detections[now]] = found_ignored & ~found
        best, found = np.where(found, best, instead), found | found_ignored
        matched[detections[now]] = found
        n, t, a = np.nonzero(found)
        taken[objects[n, best[n, t, a]], t, a] = True
    return matched, excused


def _best(iou: np.ndarray, fits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For (n, C) IoUs, of which (n, C, T, A) fit, the last one of the largest among those that
    do: (n, T, A) places in C, and whether there is one."""
    values = np.where(fits, iou[..., None, None], -1)[:, ::-1]
    return fits.shape[1] - 1 - values.argmax(axis=1), np.asarray(fits.any(axis=1))


def _curve(
    right: np.ndarray, wrong: np.ndarray, num_objects: int
) -> tuple[np.ndarray, np.ndarray | float]:
    """(T, R) precision over recall, and (T,) the recall that is reached.

    Args:
        right, wrong: (D, T) bool, detections by falling score.
    """
    precision = np.zeros((_T, len(RECALLS)))
    if not len(right):
        return precision, 0.0
    found, false = (np.cumsum(hits, axis=0).astype(np.float64) for hits in (right, wrong))
    recall = found / num_objects
    precise = found / (false + found + np.spacing(1))
    precise = np.maximum.accumulate(precise[::-1], axis=0)[::-1]
    for t in range(_T):
        at = np.searchsorted(recall[:, t], RECALLS, side="left")
        reached = at < len(recall)
        precision[t, reached] = precise[at[reached], t]
    return precision, recall[-1]


def _outside(areas: np.ndarray) -> np.ndarray:
    """(N, A) bool: whether areas are outside of the ranges."""
    outside: np.ndarray = (areas[:, None] < _AREAS[:, 0]) | (areas[:, None] > _AREAS[:, 1])
    return outside


def _among(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Whether keys are in `known`, which ascends."""
    if not len(known):
        return np.zeros(len(keys), dtype=bool)
    place = np.searchsorted(known, keys).clip(max=len(known) - 1)
    among: np.ndarray = known[place] == keys
    return among


def _places(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The place of each score in its group, the largest first, the first one of equals before."""
    order = np.lexsort((-scores, groups))
    places = np.empty(len(scores), dtype=np.int64)
    places[order] = _within(groups[order])
    return places


def _within(groups: np.ndarray) -> np.ndarray:
    """The place of each entry in its group; groups follow one another."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    counts = np.diff(starts, append=len(groups))
    return np.arange(len(groups)) - np.repeat(starts, counts)


def _pack(judgements: np.ndarray) -> np.ndarray:
    return np.packbits(judgements.reshape(len(judgements), _T * _A), axis=1)


def _unpack(bits: np.ndarray) -> np.ndarray:
    judgements = np.unpackbits(bits, axis=1, count=_T * _A).astype(bool)
    return judgements.reshape(len(bits), _T, _A)
