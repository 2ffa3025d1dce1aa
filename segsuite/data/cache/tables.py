"""Records as columns: the scheme of the arrays that `ColumnRecords` reads.

The usual keys of records and annotations are columns. Whatever else a row has, or has in a way that
its column can't hold - an id that is a text, no height - is in a column of JSON texts, which are
empty for nearly all rows.
"""

from __future__ import annotations

import json
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from segsuite.structures import BoxMode

from .columns import Columns, pack_texts, starts_of

Row = Mapping[str, Any]
Arrays = dict[str, np.ndarray]
# The keys by row that are not, or not rightly, in the columns.
Odd = defaultdict[int, set[str]]

IMAGE_NUMBERS = ("image_id", "height", "width")
OBJECT_NUMBERS = ("id", "category_id", "iscrowd", "bbox_mode")
IMAGE_KEYS = {*IMAGE_NUMBERS, "file_name", "annotations"}
OBJECT_KEYS = {*OBJECT_NUMBERS, "bbox", "segmentation"}
# What a segmentation is.
NONE, POLYGONS, RLE_BYTES, RLE_TEXT = range(4)

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


def pack_records(records: Sequence[Row], facts: Any = None) -> Columns:
    """Records as the columns of `ColumnRecords`.

    Args:
        records: like those of `load_coco_json`, with any further keys whose values JSON can hold.
            Boxes become floats, polygons flat float64 arrays.
        facts: of the data set, such as its categories; whatever JSON can hold.

    Raises:
        TypeError: JSON does not give back a value as it is.
    """
    odd: Odd = defaultdict(set)
    columns = _number_columns(records, IMAGE_NUMBERS, odd)
    columns |= name_columns([record.get("file_name") for record in records], odd)
    objects: list[Row] = []
    lengths = np.zeros(len(records), np.int64)
    for row, record in enumerate(records):
        annotations = record.get("annotations")
        if isinstance(annotations, list):
            objects += annotations
            lengths[row] = len(annotations)
        else:
            odd[row].add("annotations")
    columns["annotations"] = starts_of(lengths)
    columns |= rest_columns(records, IMAGE_KEYS, odd)
    return Columns(columns | prefixed("object.", pack_objects(objects)), facts)


def pack_objects(objects: Sequence[Row]) -> Arrays:
    """Annotations as columns."""
    odd: Odd = defaultdict(set)
    columns = _number_columns(objects, OBJECT_NUMBERS, odd)
    columns["bbox"] = box_column([row.get("bbox") for row in objects], odd)
    columns |= segmentation_columns([row.get("segmentation") for row in objects], odd)
    for row, annotation in enumerate(objects):
        if columns["form"][row] == NONE and "segmentation" in annotation:
            odd[row].add("segmentation")
    return columns | rest_columns(objects, OBJECT_KEYS, odd)


def prefixed(prefix: str, columns: Mapping[str, np.ndarray]) -> Arrays:
    """The same columns under longer names."""
    return {prefix + name: column for name, column in columns.items()}


def _number_columns(rows: Sequence[Row], keys: Iterable[str], odd: Odd) -> Arrays:
    return {key: number_column([row.get(key) for row in rows], key, odd) for key in keys}


def number_column(values: list[Any], key: str, odd: Odd) -> np.ndarray:
    """Whole numbers of 64 bits; 0 where a value is none, whose row is odd then."""
    if not set(map(type, values)) <= {int, BoxMode} or not _all_fit(values):
        values = list(values)
        for row, value in enumerate(values):
            if not isinstance(value, int) or isinstance(value, bool) or not _all_fit([value]):
                odd[row].add(key)
                values[row] = 0
    return np.array(values, np.int64)


def _all_fit(values: Sequence[Any]) -> bool:
    return not values or (min(values) >= _INT64_MIN and max(values) <= _INT64_MAX)


def name_columns(names: list[Any], odd: Odd) -> Arrays:
    """Names of files."""
    texts = [name if isinstance(name, str) else "" for name in names]
    for row, name in enumerate(names):
        if not isinstance(name, str):
            odd[row].add("file_name")
    starts, values = pack_texts(list(map(to_bytes, texts)))
    return {"file_name.starts": starts, "file_name": values}


def to_bytes(text: str) -> bytes:
    """A text in UTF-8; names of files may hold what is none."""
    return text.encode("utf-8", "surrogatepass")


def box_column(boxes: list[Any], odd: Odd) -> np.ndarray:
    """(n, 4) float64; zeros where it is not a list of four numbers."""
    numbers = _as_numbers(boxes) if all(_has_four(box) for box in boxes) else None
    if numbers is None:
        fitting = [_has_four(box) and _as_numbers([box]) is not None for box in boxes]
        for row, fits in enumerate(fitting):
            if not fits:
                odd[row].add("bbox")
        numbers = _as_numbers([b if f else [0] * 4 for b, f in zip(boxes, fitting, strict=True)])
        assert numbers is not None
    return numbers.reshape(-1, 4)


def _has_four(box: Any) -> bool:
    return type(box) is list and len(box) == 4


def _as_numbers(lists: Iterable[Iterable[Any]]) -> np.ndarray | None:
    """Numbers of many lists, one after the other; None where something is no number."""
    try:
        # NumPy would read texts as well.
        return np.frombuffer(array("d", chain.from_iterable(lists)), np.float64)
    except (TypeError, OverflowError):
        return None


def segmentation_columns(segmentations: Sequence[Any], odd: Odd) -> Arrays:
    """Polygons and run lengths.

    Returns:
        ``form`` (n,): what each is. ``polygons`` (n + 1,): where the polygons of each begin among
        all polygons; ``points`` (p + 1,): where the numbers of each polygon begin in
        ``coordinates``. ``rle.starts`` (n + 1,), ``rle``: run lengths as text, and ``rle.size``
        (n, 2) their heights and widths.
    """
    forms = np.zeros(len(segmentations), np.uint8)
    sizes = np.zeros((len(segmentations), 2), np.int64)
    texts = [b""] * len(segmentations)
    polygons: list[Any] = []
    counts = np.zeros(len(segmentations), np.int64)
    for row, segmentation in enumerate(segmentations):
        if type(segmentation) is list:
            forms[row], counts[row] = POLYGONS, len(segmentation)
            polygons += segmentation
        elif is_rle(segmentation):
            text = segmentation["counts"]
            forms[row] = RLE_TEXT if isinstance(text, str) else RLE_BYTES
            texts[row] = to_bytes(text) if isinstance(text, str) else text
            sizes[row] = segmentation["size"]
        elif segmentation is not None:
            odd[row].add("segmentation")
    points = _point_columns(polygons)
    if points is None:  # one of them is no list of numbers
        fitting = [
            segmentation if type(segmentation) is not list or _point_columns(segmentation) else None
            for segmentation in segmentations
        ]
        for row, segmentation in enumerate(fitting):
            if segmentation is None and segmentations[row] is not None:
                odd[row].add("segmentation")
        return segmentation_columns(fitting, odd)
    starts, rle = pack_texts(texts)
    return {
        "form": forms,
        "polygons": starts_of(counts),
        "points": points[0],
        "coordinates": points[1],
        "rle.starts": starts,
        "rle": rle,
        "rle.size": sizes.astype(np.int32),
    }


def is_rle(segmentation: Any) -> bool:
    """Whether it is a compressed RLE and nothing else."""
    return (
        isinstance(segmentation, dict)
        and segmentation.keys() == {"size", "counts"}
        and isinstance(segmentation["counts"], (str, bytes))
        and isinstance(segmentation["size"], list)
        and len(segmentation["size"]) == 2
        and all(type(side) is int and 0 <= side < 1 << 31 for side in segmentation["size"])
    )


def _point_columns(polygons: list[Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Where the numbers of each polygon begin, and the numbers; None where one has others."""
    types = set(map(type, polygons))
    if types == {np.ndarray}:
        if not all(polygon.ndim == 1 and polygon.dtype == np.float64 for polygon in polygons):
            return None
        numbers: np.ndarray | None = np.concatenate(polygons)
    elif types <= {list}:
        numbers = _as_numbers(polygons)
    elif types <= {list, np.ndarray}:
        return _point_columns([p.tolist() if isinstance(p, np.ndarray) else p for p in polygons])
    else:
        return None
    return None if numbers is None else (starts_of(list(map(len, polygons))), numbers)


def rest_columns(rows: Sequence[Row], known: set[str], odd: Odd) -> Arrays:
    """What the other columns lack.

    Returns:
        ``rest.starts`` (n + 1,), ``rest``: of each odd row the JSON of what to set,
        and of the keys to remove, after the other columns: ``[{key: value}, [key, ...]]``.
        ``rest.keys``: JSON of those of `known` that are so changed in any row.
    """
    for row, content in enumerate(rows):
        if not content.keys() <= known:
            odd[row] |= content.keys() - known
    return pack_rests(len(rows), {row: rows[row] for row in odd}, known, odd)


def pack_rests(number: int, rows: Mapping[int, Row], known: set[str], odd: Odd) -> Arrays:
    """As `rest_columns`, of so many rows.

    Args:
        rows: those that are odd, by number.
    """
    lengths = np.zeros(number, np.int64)
    texts = []
    for row in sorted(odd):
        names = odd[row]
        rest = {name: rows[row][name] for name in sorted(names) if name in rows[row]}
        text = json.dumps([rest, sorted(names - rest.keys())])
        if json.loads(text)[0] != rest:
            raise TypeError(f"JSON does not give back {rest} as it is")
        texts.append(text.encode())
        lengths[row] = len(texts[-1])
    changed = json.dumps(sorted(known.intersection(set().union(*odd.values()))))
    return {
        "rest.starts": starts_of(lengths),
        "rest": np.frombuffer(b"".join(texts), np.uint8),
        "rest.keys": np.frombuffer(changed.encode(), np.uint8),
    }


class Table:
    """Reads rows of the columns whose names begin alike.

    Attributes:
        changed: keys that some rows have otherwise than the columns say.
    """

    def __init__(self, columns: Mapping[str, np.ndarray], prefix: str) -> None:
        self._columns = {
            name[len(prefix) :]: array for name, array in columns.items() if name.startswith(prefix)
        }
        self.changed = frozenset(json.loads(self["rest.keys"].tobytes()))
        self._rests = self["rest.starts"]
        self._has_rests = bool(self._rests[-1])

    def __getitem__(self, name: str) -> np.ndarray:
        return self._columns[name]

    def __len__(self) -> int:
        return len(self._rests) - 1

    def text(self, name: str, row: int) -> str:
        """The text of a row."""
        begin, end = self[name + ".starts"][row : row + 2]
        return self[name][begin:end].tobytes().decode("utf-8", "surrogatepass")

    def add_rests(self, rows: list[dict[str, Any]], begin: int) -> None:
        """What the other columns lack of rows from `begin` on."""
        if self._has_rests and self._rests[begin] != self._rests[begin + len(rows)]:
            for number, row in enumerate(rows, begin):
                self.add_rest(row, number)

    def add_rest(self, row: dict[str, Any], number: int) -> None:
        """What the other columns lack of a row."""
        begin, end = self._rests[number : number + 2]
        if begin != end:
            changed, unset = json.loads(self["rest"][begin:end].tobytes())
            for key in unset:
                row.pop(key, None)
            row.update(changed)

    def rests(self) -> list[dict[str, Any]]:
        """What the other columns lack of each row."""
        rows: list[dict[str, Any]] = [{} for _ in range(len(self))]
        self.add_rests(rows, 0)
        return rows

    def values(self, key: str) -> list[Any]:
        """The value of each row, None where it has none."""
        values = self[key].tolist()
        if key in self.changed:
            for row, number in enumerate(values):
                content = {key: number}
                self.add_rest(content, row)
                values[row] = content.get(key)
        return values
