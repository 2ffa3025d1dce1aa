"""All annotations of a COCO file, in columns.

A file has hundreds of thousands of annotations, nearly all of them as the format has it. Those are
recognised and taken by whole columns; the others go through `clean_annotation`, one by one. Both
give the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress, repeat
from operator import itemgetter, methodcaller
from typing import Any

import numpy as np

from segsuite.structures.polygons import reach
from segsuite.structures.run_lengths import find_count_faults

from .coco_annotations import clean_annotation, mask_area
from .coco_faults import (
    UNKNOWN_CATEGORY,
    UNKNOWN_IMAGE,
    VALUE_TYPE,
    Fault,
    TakesFaults,
)
from .coco_segmentations import RLE, Segmentations
from .coco_values import Ids

# Annotations whose masks are looked at together.
_CHUNK = 4096
_NUMBERS = {int, float}
_Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class AnnotationTable:
    """The usable annotations of a file, in its order.

    Attributes:
        ids: N ids.
        images: (N,) int64: which image of the file, by number.
        categories: (N,) int64: which category, by number.
        boxes: (N, 4) float64: x, y, width, height in pixels, finite, of a size, in the image.
        areas: (N,) float64: as the file has them; NaN where it has none.
        crowds: (N,) bool: neither to be learned nor counted as wrong.
        segmentations: N masks.
    """

    ids: list[Any]
    images: np.ndarray
    categories: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowds: np.ndarray
    segmentations: Segmentations

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls) -> AnnotationTable:
        """No annotations."""
        none, masks = np.zeros(0, np.int64), Segmentations.pack([])
        return cls([], none, none, np.zeros((0, 4)), np.zeros(0), none.astype(bool), masks)


def read_annotations(
    annotations: _Entries,
    ids: Sequence[Any],
    images: Ids,
    sizes: np.ndarray,
    categories: Ids,
    faults: TakesFaults,
) -> AnnotationTable:
    """Read annotations into columns; what can't be used is left out and told to `faults`.

    Args:
        annotations: the entries of a file.
        ids: of the annotations, checked.
        images, categories: find an entry by the annotations' ``image_id`` and ``category_id``.
        sizes: (I, 2) int64: height and width of each image.
    """
    rows = AnnotationRows(images, sizes)
    rows.add(annotations)
    return rows.table(ids, categories, faults)


class AnnotationRows:
    """Takes the annotations of a file, some at a time, and keeps columns of them, and those that
    are not evidently right.

    Args:
        images: find an image by the annotations' ``image_id``.
        sizes: (I, 2) int64: height and width of each image.

    Attributes:
        ids: what annotations have as ``id``, None where they have none.
    """

    def __init__(self, images: Ids, sizes: np.ndarray) -> None:
        self._images = images
        # The last one is that of no image, in which nothing is right.
        self._sizes = np.concatenate([sizes.reshape(-1, 2), np.zeros((1, 2), np.int64)])
        self.ids: list[Any] = []
        self._image_ids: list[Any] = []
        self._category_ids: list[Any] = []
        self._chunks: list[_Columns] = []
        self._odd: list[tuple[int, Mapping[str, Any]]] = []

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, annotations: _Entries) -> None:
        """The next ones of the file."""
        for start in range(0, len(annotations), _CHUNK):
            self._add(annotations[start : start + _CHUNK])

    def _add(self, annotations: _Entries) -> None:
        first, references = len(self.ids), _values(annotations, "image_id")
        self.ids += _values(annotations, "id")
        self._image_ids += references
        self._category_ids += _values(annotations, "category_id")
        image = _exact(references, self._images)
        for i in (image < 0).nonzero()[0].tolist():
            number, _ = self._images.find(references[i])
            image[i] = -1 if number is None else number
        height, width = self._sizes[image].T
        columns = _Columns(annotations, height, width)
        self._chunks.append(columns)
        self._odd += [(first + i, annotations[i]) for i in columns.odd.nonzero()[0].tolist()]

    def table(self, ids: Sequence[Any], categories: Ids, faults: TakesFaults) -> AnnotationTable:
        """All of them.

        Args:
            ids: of the annotations, checked.
            categories: find a category by the annotations' ``category_id``.
        """
        image = _find(self._image_ids, ids, "image_id", self._images, UNKNOWN_IMAGE, faults)
        category = _find(
            self._category_ids, ids, "category_id", categories, UNKNOWN_CATEGORY, faults
        )
        kept = (image >= 0) & (category >= 0)
        boxes, crowds, areas = (
            np.concatenate([empty, *(getattr(chunk, name) for chunk in self._chunks)])
            for name, empty in (
                ("boxes", np.zeros((0, 4))),
                ("crowds", np.zeros(0, bool)),
                ("areas", np.zeros(0)),
            )
        )
        order = np.arange(len(ids))
        masks: list[Any] = []
        for row, annotation in self._odd:
            if not kept[row]:
                continue
            height, width = self._sizes[image[row]].tolist()
            cleaned = clean_annotation({**annotation, "id": ids[row]}, height, width, faults)
            kept[row] = cleaned is not None
            if cleaned is not None:
                boxes[row], crowds[row] = cleaned["bbox"], cleaned["iscrowd"]
                areas[row] = cleaned.get("area", np.nan)
                order[row] = len(ids) + len(masks)
                masks.append(cleaned.get("segmentation"))
        segmentations = Segmentations.concatenate(
            [*(chunk.masks for chunk in self._chunks), Segmentations.pack(masks)]
        )
        if self._odd or not kept.all():
            segmentations = segmentations.take(order[kept])
        return AnnotationTable(
            ids=list(compress(ids, kept.tolist())),
            images=image[kept],
            categories=category[kept],
            boxes=boxes[kept],
            areas=areas[kept],
            crowds=crowds[kept],
            segmentations=segmentations,
        )


def _values(entries: _Entries, key: str) -> list[Any]:
    """The value of each entry, None where it has none."""
    try:
        return list(map(itemgetter(key), entries))
    except KeyError:
        return list(map(methodcaller("get", key), entries))


def _exact(references: list[Any], entries: Ids) -> np.ndarray:
    """The numbers of the entries that are referred to by their ids as they stand; -1 for others."""
    if set(map(type, references)) <= {int, str}:
        found = map(entries.exact.get, references, repeat(-1))
        return np.fromiter(found, np.int64, len(references))
    return np.full(len(references), -1)


def _find(
    references: list[Any],
    ids: Sequence[Any],
    key: str,
    entries: Ids,
    unknown: Fault,
    faults: TakesFaults,
) -> np.ndarray:
    """The numbers of the entries that annotations refer to; -1 for those that are not known."""
    found = _exact(references, entries)
    for i in (found < 0).nonzero()[0].tolist():
        reference = references[i]
        number, is_exact = entries.find(reference)
        if number is None:
            faults.add(unknown, ids[i], f"{key} {reference!r}")
            continue
        found[i] = number
        if not is_exact:
            kinds = ("text", "number") if isinstance(reference, str) else ("number", "text")
            faults.add(
                VALUE_TYPE, ids[i], f"{key} is the {kinds[0]} {reference!r} instead of a {kinds[1]}"
            )
    return found


def object_areas(table: AnnotationTable, sizes: np.ndarray) -> np.ndarray:
    """(N,) float64: the areas of objects; of those that the file has none for that of the mask, or
    of the box where there is no mask.

    Args:
        sizes: (I, 2) int64: height and width of each image.
    """
    areas = table.areas.copy()
    for i in np.isnan(areas).nonzero()[0].tolist():
        height, width = sizes[table.images[i]].tolist()
        mask = table.segmentations.get(i, height, width)
        box = table.boxes[i]
        areas[i] = box[2] * box[3] if mask is None else mask_area(mask, height, width)
    return areas


class _Columns:
    """The columns of some annotations, and which of these are not evidently right.

    Attributes:
        odd: (N,) bool, those that `clean_annotation` has to look at.
        boxes, crowds, areas, masks: as in `AnnotationTable`, of the others.
    """

    def __init__(self, annotations: _Entries, height: np.ndarray, width: np.ndarray) -> None:
        self.odd = np.zeros(len(annotations), bool)
        self.boxes = self._read_boxes(_values(annotations, "bbox"), height, width)
        self.crowds = self._read_crowds(annotations)
        self.areas = self._read_areas(_values(annotations, "area"))
        self.masks, odd = _pack(_values(annotations, "segmentation"), height, width)
        self.odd |= odd

    def _read_boxes(self, given: list[Any], height: np.ndarray, width: np.ndarray) -> np.ndarray:
        boxes = _number_rows(given)
        x, y, w, h = boxes.T
        limit = reach(height, width)
        with np.errstate(over="ignore", invalid="ignore"):
            good = (w > 0) & (h > 0) & (x < width) & (y < height)
            good &= (x + w > 0) & (y + h > 0) & (np.minimum(x, y) >= -limit)
            good &= np.maximum(x + w, y + h) <= limit
        self.odd |= ~good
        return boxes

    def _read_crowds(self, annotations: _Entries) -> np.ndarray:
        crowds = np.zeros(len(annotations), bool)
        for key in ("iscrowd", "ignore"):
            flags = _values(annotations, key)
            if set(map(type, flags)) <= {int, type(None)} and not any(flags):
                continue
            if not _are_flags(flags):
                odd = [not _are_flags([flag]) for flag in flags]
                self.odd |= odd
                flags = [False if o else flag for flag, o in zip(flags, odd, strict=True)]
            crowds |= np.fromiter(map(bool, flags), bool, len(flags))
        return crowds

    def _read_areas(self, given: list[Any]) -> np.ndarray:
        try:
            is_plain = set(map(type, given)) <= {int, float, type(None)}
            areas = np.array(given, dtype=np.float64) if is_plain else None
        except OverflowError:  # an integer that no float stands for
            areas = None
        if areas is None:
            areas = _number_rows([[area] for area in given], width=1)[:, 0]
        areas[~(np.isfinite(areas) & (areas >= 0))] = np.nan
        for i in np.isnan(areas).nonzero()[0].tolist():
            self.odd[i] |= given[i] is not None
        return areas


def _pack(
    masks: Sequence[Any], height: np.ndarray, width: np.ndarray
) -> tuple[Segmentations, np.ndarray]:
    """Masks in columns, and which are not evidently right, (N,) bool; these are left out."""
    odd = _odd_structures(masks, height, width)
    usable = list(masks)
    for i in odd.nonzero()[0].tolist():
        usable[i] = None
    try:
        packed = Segmentations.pack(usable)
    except (OverflowError, TypeError, ValueError):
        for i, mask in enumerate(usable):
            if not _can_be_packed(mask):
                odd[i], usable[i] = True, None
        packed = Segmentations.pack(usable)
    return packed, odd | _odd_polygons(packed, height, width) | _odd_rles(packed, height, width)


def _odd_structures(masks: Sequence[Any], height: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Which masks are neither None, nor lists of lists of x, y, ..., nor RLEs of their images."""
    odd = np.zeros(len(masks), bool)
    kinds = set(map(type, masks))
    if dict in kinds:
        sizes = zip(height.tolist(), width.tolist(), strict=True)
        for i, (mask, size) in enumerate(zip(masks, sizes, strict=True)):
            if type(mask) is dict:
                odd[i] = type(mask.get("counts")) is not str or mask.get("size") != [*size]
    if not kinds <= {dict, list, type(None)}:
        odd |= [mask is not None and type(mask) not in (dict, list) for mask in masks]
    polygons_of = masks
    if not kinds <= {list}:
        polygons_of = [mask if type(mask) is list else () for mask in masks]
    polygons = list(chain.from_iterable(polygons_of))
    if set(map(type, polygons)) <= {list}:
        lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))
        bad = (lengths < 6) | (lengths % 2 > 0)
    else:
        bad = np.array([type(p) is not list or len(p) < 6 or len(p) % 2 > 0 for p in polygons])
    if bad.any():
        odd[np.repeat(np.arange(len(masks)), list(map(len, polygons_of)))[bad]] = True
    return odd


def _can_be_packed(mask: Any) -> bool:
    try:
        Segmentations.pack([mask])
    except (OverflowError, TypeError, ValueError):
        return False
    return True


def _odd_polygons(packed: Segmentations, height: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Which objects have a polygon that is not finite, outside of the image or far beyond it."""
    odd = np.zeros(len(packed), bool)
    if not len(packed.value_ends):
        return odd
    of_object = np.repeat(np.arange(len(packed)), np.diff(packed.polygon_ends, prepend=0))
    starts = np.concatenate([[0], packed.value_ends[:-1]]) // 2
    x, y = packed.values[0::2], packed.values[1::2]
    left, right = (f.reduceat(x, starts) for f in (np.minimum, np.maximum))
    top, bottom = (f.reduceat(y, starts) for f in (np.minimum, np.maximum))
    limit = reach(height, width)[of_object]
    good = (left < width[of_object]) & (top < height[of_object]) & (right > 0) & (bottom > 0)
    good &= (np.minimum(left, top) >= -limit) & (np.maximum(right, bottom) <= limit)
    odd[of_object[~good]] = True
    return odd


def _odd_rles(packed: Segmentations, height: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Which objects have run lengths that are not those of a mask of their images."""
    odd = np.zeros(len(packed), bool)
    rows = (packed.forms == RLE).nonzero()[0]
    if len(rows):
        starts = packed.text_ends - np.diff(packed.text_ends, prepend=0)
        bounds = zip(starts[rows].tolist(), packed.text_ends[rows].tolist(), strict=True)
        texts = [packed.texts[start:end].tobytes() for start, end in bounds]
        pixels = height[rows] * width[rows]
        odd[rows[list(find_count_faults(texts, pixels))]] = True
    return odd


def _number_rows(rows: Sequence[Any], width: int = 4) -> np.ndarray:
    """(N, width) float64 of lists of as many numbers; NaN for rows that are something else."""
    is_uniform = set(map(type, rows)) <= {list} and set(map(len, rows)) <= {width}
    if is_uniform and set(map(type, chain.from_iterable(rows))) <= _NUMBERS:
        try:
            return np.array(rows, dtype=np.float64).reshape(-1, width)
        except OverflowError:
            pass
    numbers = np.full((len(rows), width), np.nan)
    for i, row in enumerate(rows):
        is_row = type(row) is list and len(row) == width and set(map(type, row)) <= _NUMBERS
        if is_row and not any(map(_is_huge, row)):
            numbers[i] = row
    return numbers


def _is_huge(value: Any) -> bool:
    """Whether a number is an integer that no float stands for."""
    return type(value) is int and value.bit_length() > 1000


def _are_flags(values: Sequence[Any]) -> bool:
    try:
        return set(values) <= {0, 1, None}
    except TypeError:  # lists or dicts
        return False
