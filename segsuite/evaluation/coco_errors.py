"""The mistakes of a detector by their kind, and what each kind costs in AP.

Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from .coco_arrays import COCODetections, COCOObjects, COCOPart
from .coco_engines import RECALLS
from .coco_overlaps import Masks, box_ious, find_pairs, mask_ious

# A detection is a match from this IoU on, and has something to do with an object from that one on.
FOREGROUND, BACKGROUND = 0.5, 0.1
MAX_DETECTIONS = 100  # of an image and category, as in AP50
# What is wrong with a detection; and, at last, an object that no better detection would find.
KINDS = ("class", "localisation", "both", "duplicate", "background", "missed")
_CLASS, _LOCALISATION, _BOTH, _DUPLICATE, _BACKGROUND, _MISSED = range(6)
_RIGHT = -1


@dataclass(frozen=True)
class ErrorKinds:
    """What costs how much.

    Attributes:
        ap50: AP at an IoU of 0.5, in [0, 1]; NaN where there is nothing to find.
        counts: how many mistakes of each of `KINDS` there are.
        cost: by kind how much larger AP50 would be without these mistakes. The kinds don't add up:
            without one of them others may cost more.
        false_positives, false_negatives: the same without any wrong detection, and without any
            object that is not found.
        counts_by_category: (K, 6) int64, those of detections by the predicted category.
    """

    ap50: float
    counts: dict[str, int]
    cost: dict[str, float]
    false_positives: float
    false_negatives: float
    counts_by_category: np.ndarray

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        """All of it, AP in percent.

        Args:
            names: of the K categories.
        """

        def percent(value: float) -> float | None:
            return None if value != value else 100 * value

        return {
            "AP50": percent(self.ap50),
            "kinds": {
                kind: {"count": self.counts[kind], "dAP": percent(self.cost[kind])}
                for kind in KINDS
            },
            "false positives": {"dAP": percent(self.false_positives)},
            "false negatives": {"dAP": percent(self.false_negatives)},
            "by_class": {
                name: dict(zip(KINDS, row, strict=True))
                for name, row in zip(names, self.counts_by_category.tolist(), strict=True)
            },
        }


@dataclass(frozen=True)
class _Judged:
    """Detections that count: (D,) category, score, kind (`_RIGHT` for none), category of the object
    meant, and whether to correct the mistake would find an object that is not found otherwise."""

    categories: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray
    meant: np.ndarray
    finds: np.ndarray


class ErrorEngine:
    """Takes images part by part, as a `COCOEngine` does, and then says what was wrong.

    A detection that matches no object of its category at an IoU of 0.5, by COCO's matching, and is
    in no crowd, is the first of these that fits:

    - ``localisation``: its largest IoU with an object of its category is from 0.1 to 0.5;
    - ``class``: with an object of another category it is at least 0.5;
    - ``duplicate``: with an object of its category, which a better detection has, it is;
    - ``background``: with all objects it is at most 0.1;
    - ``both``: wrong in class and place.

    Objects that are not found are ``missed``, unless the correction of a detection's class or place
    would find them. What a kind costs is found by correcting its mistakes: a wrong class or place
    is put right where its object is not found otherwise, once, by the detection of the largest
    score; other wrong detections are taken away; missed objects need not be found.

    Args:
        task: "bbox" or "segm".
    """

    def __init__(self, task: str, num_categories: int):
        self._task, self._num_categories = task, num_categories
        self._num_objects = np.zeros(num_categories, dtype=np.int64)
        self._num_found, self._num_missed = self._num_objects.copy(), self._num_objects.copy()
        self._judged: list[_Judged] = []

    def add(self, part: COCOPart) -> None:
        """Judge the detections of some images. Every image comes once."""
        objects = part.objects.of_task(self._task)
        detections = _best(part.detections.of_task(self._task))
        crowds, objects = objects.take(objects.crowds), objects.take(~objects.crowds)
        overlaps = _Overlaps.of(self._task, part, detections, objects)
        matched, found = _match(overlaps, len(detections), len(objects))
        ignored = ~matched & self._in_crowds(part, detections, crowds)
        kinds, meant = _kinds(overlaps, matched)
        # Of several that would find an object by their correction the best one does.
        corrects = (meant >= 0) & ~ignored
        corrects[corrects] = ~found[meant[corrects]]
        order = np.lexsort((-detections.scores, meant))
        order = order[corrects[order]]
        _, first = np.unique(meant[order], return_index=True)
        finds = np.zeros(len(detections), dtype=bool)
        finds[order[first]] = True
        reachable = np.zeros(len(objects), dtype=bool)
        reachable[meant[corrects]] = True

        counted = np.bincount(objects.categories, minlength=self._num_categories)
        self._num_objects += counted
        for total, chosen in ((self._num_found, found), (self._num_missed, ~(found | reachable))):
            total += np.bincount(objects.categories[chosen], minlength=self._num_categories)
        categories = detections.categories.copy()
        categories[meant >= 0] = objects.categories[meant[meant >= 0]]
        # There may be millions: no more than what holds the numbers.
        columns = (
            *(detections.categories.astype(np.int32), detections.scores),
            *(kinds.astype(np.int8), categories.astype(np.int32), finds),
        )
        self._judged.append(_Judged(*(column[~ignored] for column in columns)))

    def errors(self) -> ErrorKinds:
        """What is wrong with all that was added."""
        judged = _Judged(
            *(
                np.concatenate([getattr(part, name) for part in self._judged])
                if self._judged
                else np.zeros(0, dtype=np.int64)
                for name in ("categories", "scores", "kinds", "meant", "finds")
            )
        )
        self._judged = [judged]
        right = judged.kinds == _RIGHT
        everything = np.ones(len(right), dtype=bool)

        def ap50(
            kept: np.ndarray = everything,
            corrected: np.ndarray = ~everything,
            num_objects: np.ndarray = self._num_objects,
        ) -> float:
            categories = np.where(corrected, judged.meant, judged.categories)
            rows = kept | corrected
            is_right = (right | corrected)[rows]
            return _mean_ap(categories[rows], judged.scores[rows], is_right, num_objects)

        base, after = ap50(), {}
        for kind, name in enumerate(KINDS[:_MISSED]):
            wrong = judged.kinds == kind
            after[name] = ap50(~wrong, wrong & judged.finds.astype(bool))
        after["missed"] = ap50(num_objects=self._num_objects - self._num_missed)
        by_category = np.zeros((self._num_categories, len(KINDS)), dtype=np.int64)
        np.add.at(by_category, (judged.categories[~right], judged.kinds[~right]), 1)
        by_category[:, _MISSED] = self._num_missed
        return ErrorKinds(
            base,
            dict(zip(KINDS, by_category.sum(0).tolist(), strict=True)),
            {name: value - base for name, value in after.items()},
            ap50(right) - base,
            ap50(num_objects=self._num_found) - base,
            by_category,
        )

    def _in_crowds(
        self, part: COCOPart, detections: COCODetections, crowds: COCOObjects
    ) -> np.ndarray:
        """Which detections lie in a crowd of their category by at least one half."""
        inside = np.zeros(len(detections), dtype=bool)
        near = np.unique(find_pairs(detections, crowds)[0])
        if len(near):
            some = detections.take(near)
            pairs = find_pairs(some, crowds)
            everything = np.ones(len(pairs[0]), dtype=bool)
            shares = _ious(self._task, part, some, crowds, pairs, everything)
            inside[near[pairs[0][shares >= FOREGROUND]]] = True
        return inside


@dataclass(frozen=True)
class _Overlaps:
    """Pairs of a detection and an object of an image whose IoU is not 0: (P,) rows of both, IoU,
    and whether they are of one category."""

    rows: np.ndarray
    columns: np.ndarray
    ious: np.ndarray
    same: np.ndarray

    @classmethod
    def of(
        cls, task: str, part: COCOPart, detections: COCODetections, objects: COCOObjects
    ) -> _Overlaps:
        one = (replace(of, categories=np.zeros_like(of.categories)) for of in (detections, objects))
        pairs = find_pairs(*one)  # type: ignore[arg-type]
        crowds = np.zeros(len(pairs[0]), dtype=bool)
        ious = _ious(task, part, detections, objects, pairs, crowds)
        near = ious > 0
        rows, columns, ious = pairs[0][near], pairs[1][near], ious[near]
        same = detections.categories[rows] == objects.categories[columns]
        return cls(rows, columns, ious, same)

    def largest(self, num_rows: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(D,) the largest IoU of each detection among the chosen pairs, 0 where there is none, and
        (D,) the object, -1 where there is none."""
        iou, column = np.zeros(num_rows), np.full(num_rows, -1)
        pairs = np.flatnonzero(chosen)
        order = pairs[np.lexsort((-self.ious[pairs], self.rows[pairs]))]
        rows, first = np.unique(self.rows[order], return_index=True)
        iou[rows], column[rows] = self.ious[order[first]], self.columns[order[first]]
        return iou, column


def _best(detections: COCODetections) -> COCODetections:
    """Those that count, by image and falling score."""
    order = np.lexsort((-detections.scores, detections.categories, detections.images))
    keys = np.stack([detections.images[order], detections.categories[order]])
    starts = np.flatnonzero(np.diff(keys, prepend=-1).any(0))
    counts = np.diff(starts, append=len(order))
    places = np.arange(len(order)) - np.repeat(starts, counts)
    kept = np.sort(order[places < MAX_DETECTIONS])
    kept = kept[np.lexsort((-detections.scores[kept], detections.images[kept]))]
    return detections.take(kept)


def _ious(
    task: str,
    part: COCOPart,
    detections: COCODetections,
    objects: COCOObjects,
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    crowds: np.ndarray,
) -> np.ndarray:
    rows, columns, _ = pairs
    if task == "bbox":
        return box_ious(detections.boxes[rows], objects.boxes[columns], crowds)
    found, true = (
        Masks(of.masks, part.sizes[np.searchsorted(part.images, of.images)])
        for of in (detections, objects)
    )
    return mask_ious(found, true, pairs, crowds)


def _match(
    overlaps: _Overlaps, num_detections: int, num_objects: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections are matched, and which objects: the best detection first, and each takes the
    free object with which its IoU is largest."""
    near = np.flatnonzero(overlaps.same & (overlaps.ious >= FOREGROUND))
    order = near[np.lexsort((-overlaps.ious[near], overlaps.rows[near]))]
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for row, column in zip(
        overlaps.rows[order].tolist(), overlaps.columns[order].tolist(), strict=True
    ):
        if row not in matched and column not in taken:
            matched[row] = column
            taken.add(column)
    is_matched, is_found = np.zeros(num_detections, dtype=bool), np.zeros(num_objects, dtype=bool)
    is_matched[list(matched)] = True
    is_found[list(taken)] = True
    return is_matched, is_found


def _kinds(overlaps: _Overlaps, matched: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D,) the kind of each detection, and (D,) the object that it means, -1 for none."""
    count = len(matched)
    own, own_object = overlaps.largest(count, overlaps.same)
    other, other_object = overlaps.largest(count, ~overlaps.same)
    kinds = np.full(count, _BOTH)
    kinds[np.maximum(own, other) <= BACKGROUND] = _BACKGROUND
    kinds[own >= FOREGROUND] = _DUPLICATE
    kinds[other >= FOREGROUND] = _CLASS
    kinds[(own >= BACKGROUND) & (own < FOREGROUND)] = _LOCALISATION
    kinds[matched] = _RIGHT
    meant = np.full(count, -1)
    meant[kinds == _CLASS] = other_object[kinds == _CLASS]
    meant[kinds == _LOCALISATION] = own_object[kinds == _LOCALISATION]
    return kinds, meant


def _mean_ap(
    categories: np.ndarray, scores: np.ndarray, right: np.ndarray, num_objects: np.ndarray
) -> float:
    """Average precision, the mean over the categories that have objects, as COCO computes it."""
    order = np.lexsort((-scores, categories))
    ends = np.searchsorted(categories[order], np.arange(len(num_objects) + 1))
    values = []
    for k, (start, end) in enumerate(pairwise(ends.tolist())):
        if num_objects[k] <= 0:
            continue
        hits = np.cumsum(right[order[start:end]])
        precision = hits / np.arange(1, len(hits) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(hits / num_objects[k], RECALLS, side="left")
        values.append(precision[at[at < len(hits)]].sum() / len(RECALLS))
    return float(np.mean(values)) if values else float("nan")
