"""Records of data sets as sequences that take little memory, and are shared by worker processes."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, overload

import numpy as np

from segsuite.structures import BoxMode

from .cache import Columns, cached_columns
from .cache.columns import starts_of
from .cache.tables import (
    IMAGE_NUMBERS,
    NONE,
    OBJECT_NUMBERS,
    POLYGONS,
    RLE_BYTES,
    Table,
    pack_records,
)

Record = dict[str, Any]

# Lists of classes that records of LVIS have.
CLASS_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")


class RecordSequence(Sequence[Record]):
    """A read-only sequence of records, each made anew when it is asked for.

    A list of dicts is copied little by little into each process forked from its owner: reading an
    object counts its references, which writes to its page. COCO's annotations take gigabytes in
    each worker so. What a subclass holds instead is never written to.

    Changing a record changes that copy alone. Slices, and sums with lists, are lists.
    """

    def __len__(self) -> int:
        raise NotImplementedError

    def record(self, index: int) -> Record:
        """The record at an index from 0 to the length, which has been checked."""
        raise NotImplementedError

    def select(self, indices: np.ndarray) -> RecordSequence:
        """Some of the records, by their indices in ascending order."""
        raise NotImplementedError

    def without_annotations(self) -> Sequence[Record]:
        """The same records without their ``annotations``, where that makes them cheaper."""
        return self

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self.record(i) for i in range(len(self))[index]]
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        return self.record(int(index) % len(self))

    def __iter__(self) -> Iterator[Record]:
        return map(self.record, range(len(self)))

    def __add__(self, other: Sequence[Record]) -> list[Record]:
        return [*self, *other]

    def __radd__(self, other: Sequence[Record]) -> list[Record]:
        return [*other, *self]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} records>"


class ColumnRecords(RecordSequence):
    """Records whose usual keys are the columns of arrays; see `pack_records`.

    Pickled, it is the path of the file that the columns are mapped from.

    Args:
        columns: of `pack_records`.
        rows: the records that are wanted, in this order; None: all.
        facts: that every record has too, below its own.
        classes: (K,) the class that each number in the columns of classes stands for; None: itself.
        annotated: False: records have no ``annotations``.
    """

    def __init__(
        self,
        columns: Columns,
        rows: np.ndarray | None = None,
        facts: Mapping[str, Any] | None = None,
        classes: np.ndarray | None = None,
        annotated: bool = True,
    ) -> None:
        self.columns, self.rows, self.facts = columns, rows, dict(facts or {})
        self.classes, self.annotated = classes, annotated
        self._images = Table(columns, "")
        self._objects = Table(columns, "object.")

    def __reduce__(self) -> tuple[Any, ...]:
        return _column_records, (self.columns, self._own())

    def _own(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("rows", "facts", "classes", "annotated")}

    def _with(self, **changes: Any) -> ColumnRecords:
        return ColumnRecords(self.columns, **self._own() | changes)

    def __len__(self) -> int:
        return len(self.columns["image_id"] if self.rows is None else self.rows)

    def select(self, indices: np.ndarray) -> ColumnRecords:
        rows = indices if self.rows is None else self.rows[indices]
        return self._with(rows=rows)

    def without_annotations(self) -> ColumnRecords:
        return self._with(annotated=False)

    def with_facts(self, **facts: Any) -> ColumnRecords:
        """The same records, all of which have these facts too, below their own."""
        return self._with(facts={**facts, **self.facts})

    def with_classes(self, classes: np.ndarray) -> ColumnRecords:
        """The same records with other numbers for their classes.

        Args:
            classes: (K,) int64: the new number of each.
        """
        return self._with(classes=classes)

    def record(self, index: int) -> Record:
        row = index if self.rows is None else int(self.rows[index])
        record = {
            **self.facts,
            "file_name": self._images.text("file_name", row),
            **{key: int(self.columns[key][row]) for key in IMAGE_NUMBERS},
        }
        if self.annotated:
            record["annotations"] = self._annotations(row)
        self._images.add_rest(record, row)
        if not self.annotated:
            record.pop("annotations", None)
        if self.classes is not None:
            for key in CLASS_LISTS:
                if key in record:
                    record[key] = [int(self.classes[k]) for k in record[key]]
        return record

    def _annotations(self, row: int) -> list[Record]:
        begin, end = self.columns["annotations"][row : row + 2].tolist()
        if begin == end:
            return []
        objects = self._objects
        numbers = [objects[key][begin:end].tolist() for key in OBJECT_NUMBERS]
        if self.classes is not None:
            category = OBJECT_NUMBERS.index("category_id")
            numbers[category] = self.classes[numbers[category]].tolist()
        boxes = objects["bbox"][begin:end].tolist()
        polygons = self._polygons(begin, end)
        annotations = []
        for place, (id_, category, crowd, mode) in enumerate(zip(*numbers, strict=True)):
            annotation = {
                "id": id_,
                "iscrowd": crowd,
                "bbox": boxes[place],
                "bbox_mode": _BOX_MODES.get(mode, mode),
                "category_id": category,
            }
            form = objects["form"][begin + place]
            if form == POLYGONS:
                annotation["segmentation"] = polygons[place]
            elif form != NONE:
                annotation["segmentation"] = self._rle(begin + place)
            annotations.append(annotation)
        objects.add_rests(annotations, begin)
        return annotations

    def _polygons(self, begin: int, end: int) -> list[list[np.ndarray]]:
        """The polygons of each annotation: parts of one new array."""
        polygons = self._objects["polygons"][begin : end + 1].tolist()
        points = self._objects["points"][polygons[0] : polygons[-1] + 1].tolist()
        coordinates = self._objects["coordinates"][points[0] : points[-1]].copy()
        parts = [
            coordinates[start - points[0] : stop - points[0]] for start, stop in pairwise(points)
        ]
        return [
            parts[start - polygons[0] : stop - polygons[0]] for start, stop in pairwise(polygons)
        ]

    def _rle(self, row: int) -> Record:
        begin, end = self._objects["rle.starts"][row : row + 2].tolist()
        counts: bytes | str = self._objects["rle"][begin:end].tobytes()
        if self._objects["form"][row] != RLE_BYTES:
            counts = self._objects.text("rle", row)
        return {"size": self._objects["rle.size"][row].tolist(), "counts": counts}

    def image_column(self, key: str) -> np.ndarray | None:
        """A number of each record; None where one has it another way, or not at all."""
        if key not in IMAGE_NUMBERS or key in self._images.changed:
            return None
        column = self.columns[key]
        return column if self.rows is None else column[self.rows]

    @property
    def all_annotated(self) -> bool:
        """Whether all records have ``annotations``."""
        return self.annotated and "annotations" not in self._images.changed

    def objects(self) -> Objects | None:
        """The annotations; None where one has its class another way, or they are left out."""
        if not self.annotated or not self._objects.changed.isdisjoint(("category_id", "iscrowd")):
            return None
        starts = self.columns["annotations"]
        lengths = np.diff(starts)
        chosen = np.arange(len(lengths)) if self.rows is None else self.rows
        image = np.repeat(np.arange(len(chosen)), lengths[chosen])
        shift = starts[chosen] - starts_of(lengths[chosen])[:-1]
        rows = np.repeat(shift, lengths[chosen]) + np.arange(len(image))
        crowd = self._objects["iscrowd"][rows] != 0
        category = self._objects["category_id"][rows]
        return Objects(image, category if self.classes is None else self.classes[category], crowd)


def _column_records(columns: Columns, own: dict[str, Any]) -> ColumnRecords:
    return ColumnRecords(columns, **own)


_BOX_MODES = {int(mode): mode for mode in BoxMode}


def cached_records(
    kind: str,
    sources: Sequence[str | os.PathLike[str]],
    arguments: Sequence[Any],
    version: int,
    read: Callable[[], tuple[Sequence[Record], Any]],
) -> tuple[ColumnRecords, Any]:
    """What a reader makes of files, read once for all processes: see `cached_columns`.

    Args:
        kind, sources, arguments, version: see `cached_columns`.
        read: returns records and further facts, as `pack_records` takes them.

    Returns:
        The records and the facts.

    Raises:
        OSError: there is no such file.
        TypeError: `read` gives what can't be kept, see `pack_records`; and whatever `read` raises.
    """
    columns = cached_columns(kind, sources, arguments, version, lambda: pack_records(*read()))
    return ColumnRecords(columns), columns.facts


class JoinedRecords(RecordSequence):
    """The records of several sequences, one after the other."""

    def __init__(self, parts: Sequence[RecordSequence]) -> None:
        self.parts = tuple(parts)
        self._starts = np.cumsum([0, *map(len, self.parts)]).tolist()

    def __len__(self) -> int:
        return self._starts[-1]

    def record(self, index: int) -> Record:
        part = bisect_right(self._starts, index) - 1
        return self.parts[part].record(index - self._starts[part])

    def select(self, indices: np.ndarray) -> JoinedRecords:
        cuts = np.searchsorted(indices, self._starts).tolist()
        return JoinedRecords(
            [
                part.select(indices[begin:end] - start)
                for part, start, begin, end in zip(
                    self.parts, self._starts, cuts, cuts[1:], strict=False
                )
            ]
        )


@dataclass(frozen=True)
class Objects:
    """The annotations of records, one after the other.

    Attributes:
        image: (M,) int64, the index of the record.
        category: (M,) int64, the class.
        is_crowd: (M,) bool.
    """

    image: np.ndarray
    category: np.ndarray
    is_crowd: np.ndarray


def all_objects(records: Sequence[Record]) -> Objects:
    """The annotations of records; one without ``annotations`` has none.

    Raises:
        KeyError: an annotation without ``category_id``.
    """
    if isinstance(records, JoinedRecords):
        parts = [all_objects(part) for part in records.parts]
        starts = np.cumsum([0, *map(len, records.parts)])
        return Objects(
            np.concatenate([p.image + s for p, s in zip(parts, starts, strict=False)]),
            np.concatenate([part.category for part in parts]),
            np.concatenate([part.is_crowd for part in parts]),
        )
    columns = records.objects() if isinstance(records, ColumnRecords) else None
    if columns is not None:
        return columns
    rows = [
        (index, annotation["category_id"], bool(annotation.get("iscrowd", 0)))
        for index, record in enumerate(records)
        for annotation in record.get("annotations", ())
    ]
    table = np.array(rows, np.int64).reshape(-1, 3)
    return Objects(table[:, 0], table[:, 1], table[:, 2] != 0)


def numbers_of(records: Sequence[Record], key: str) -> np.ndarray | None:
    """(N,) a number of each record, such as its ``width``; None where one has it not."""
    if isinstance(records, JoinedRecords):
        parts = [numbers_of(part, key) for part in records.parts]
        found = [part for part in parts if part is not None]
        return np.concatenate(found) if len(found) == len(parts) else None
    column = records.image_column(key) if isinstance(records, ColumnRecords) else None
    if column is not None:
        return column
    values = [record.get(key) if isinstance(record, Mapping) else None for record in records]
    numbers = all(isinstance(value, (int, float)) for value in values)
    return np.array(values) if numbers else None


def have_annotations(records: Sequence[Record]) -> np.ndarray:
    """(N,) bool, whether each record has ``annotations``, of which there may be none."""
    if isinstance(records, JoinedRecords):
        return np.concatenate([have_annotations(part) for part in records.parts])
    if isinstance(records, ColumnRecords) and records.all_annotated:
        return np.ones(len(records), bool)
    found = (isinstance(record, Mapping) and "annotations" in record for record in records)
    return np.fromiter(found, bool, len(records))


def without_annotations(records: Sequence[Record]) -> Sequence[Record]:
    """The same records, without their ``annotations`` where these would have to be made."""
    return records.without_annotations() if isinstance(records, RecordSequence) else records


def select_records(records: Sequence[Record], indices: np.ndarray) -> Sequence[Record]:
    """Some of the records, by their indices in ascending order."""
    if isinstance(records, RecordSequence):
        return records.select(indices)
    return [records[index] for index in indices]
