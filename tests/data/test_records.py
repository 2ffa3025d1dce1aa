"""Records in columns are the records that they were made from."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segsuite.data import DatasetCatalog, cached_records, get_records, load_coco_json
from segsuite.data.cache import Columns
from segsuite.data.cache.tables import pack_records
from segsuite.data.packed import PackedRecords
from segsuite.data.records import (
    ColumnRecords,
    JoinedRecords,
    all_objects,
    have_annotations,
    numbers_of,
    select_records,
)
from segsuite.structures import BoxMode
from tests.helpers import SHARED, requires_coco_tiny


def same(a: Any, b: Any) -> bool:
    """Equal, with arrays compared as arrays."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and a == b


def record(number: int, **more: Any) -> dict[str, Any]:
    base = {"file_name": f"{number}.jpg", "image_id": number, "height": 40, "width": 60}
    return {**base, "annotations": [], **more}


def annotation(number: int, **more: Any) -> dict[str, Any]:
    base = {"id": number, "category_id": number % 3, "iscrowd": 0, "bbox_mode": BoxMode.XYWH_ABS}
    return {**base, "bbox": [1.0, 2.0, 3.5, 4.0], **more}


SQUARE, HOLE = np.array([1.0, 1, 9, 1, 9, 9, 1, 9]), np.array([3.0, 3, 6, 3, 6, 6])
RECORDS = [
    record(7, annotations=[annotation(1, segmentation=[SQUARE, HOLE]), annotation(2)]),
    record(-5),
    record(1 << 62, file_name="ä/\udce4 \U0001f600.png", width=30),
    record(8, annotations=[annotation(3, segmentation={"size": [40, 60], "counts": b"`2`a"})]),
    record(
        9, annotations=[annotation(4, iscrowd=1, segmentation={"size": [4, 6], "counts": "h0"})]
    ),
]
ODD = [
    record("text"),
    record(1 << 70, height=None, width=2.5),
    record(3, neg_category_ids=[1, 2], note={"by": ["me", None, True]}),
    {"file_name": "a.jpg", "image_id": 4},
    {"image_id": 5, "annotations": None},
    record(
        6,
        annotations=[
            annotation(1, area=2.5, attributes={"hidden": True}),
            annotation(2, segmentation=None),
            annotation(3, segmentation=[]),
            annotation(4, segmentation=[[]]) | {"segmentation": [np.zeros(0)]},
            annotation(5, segmentation={"size": [4, 6], "counts": [10, 14]}),
            annotation(6, segmentation="text"),
            annotation(7, segmentation=[1.0, 2.0]),
            annotation(8, id="b", bbox=None),
            annotation(9, bbox=[1.0, 2.0]),
            annotation(10, bbox=[1.0, "2", 3, 4]),
            annotation(11, iscrowd=None, category_id="cat"),
            {"id": 12},
            {},
        ],
    ),
]


@pytest.fixture(params=["memory", "file", "joined"])
def in_columns(request, tmp_path):
    """Makes columns of records, in all the ways in which there are some."""

    def make(records: list[dict]) -> ColumnRecords | JoinedRecords:
        if request.param == "joined":
            parts = [ColumnRecords(pack_records(part)) for part in (records[:2], records[2:])]
            return JoinedRecords([parts[0], PackedRecords([]), parts[1]])
        columns = pack_records(records)
        if request.param == "file":
            columns.write(tmp_path / "a.columns", None)
            columns = Columns.open(tmp_path / "a.columns", None)
        return ColumnRecords(columns)

    return make


@pytest.mark.parametrize("records", [RECORDS, ODD, RECORDS + ODD, RECORDS[1:2], []])
def test_records_come_back(in_columns, records):
    columns = in_columns(records)
    assert same(list(columns), records) and len(columns) == len(records)
    assert same(list(pickle.loads(pickle.dumps(columns))), records)
    for begin, end in ((0, 2), (1, None), (-2, None), (5, 2)):
        assert same(columns[begin:end], records[begin:end])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)
NUMBER = st.floats(allow_nan=False)
POLYGON = st.lists(NUMBER, max_size=8).map(lambda points: np.array(points, np.float64))
RLE = st.fixed_dictionaries(
    {
        "size": st.lists(st.integers(0, 1 << 33), min_size=2, max_size=2),
        "counts": st.binary(max_size=4) | st.text(max_size=4),
    }
)
ANNOTATION = st.fixed_dictionaries(
    {"bbox": st.lists(NUMBER, min_size=4, max_size=4)},
    optional={
        "id": st.integers() | JSON,
        "category_id": st.integers(0, 5) | JSON,
        "iscrowd": st.integers(0, 1) | JSON,
        "bbox_mode": st.sampled_from(BoxMode),
        "segmentation": st.lists(POLYGON, max_size=3) | st.none() | st.text(max_size=3),
        "area": JSON,
        "ä": JSON,
    },
)


@settings(max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "file_name": st.text(st.characters(), max_size=6) | st.none(),
                "image_id": st.integers() | JSON,
                "height": st.integers(0, 99) | JSON,
                "width": st.integers(0, 99) | JSON,
                "annotations": st.lists(ANNOTATION, max_size=4) | st.none(),
                "more": JSON,
            },
        ),
        max_size=4,
    )
)
def test_any_records(records):
    assert same(list(ColumnRecords(pack_records(records))), records)


@settings(max_examples=30)
@given(st.lists(RLE, max_size=4))
def test_any_run_lengths(segmentations):
    of_records = [annotation(i, segmentation=rle) for i, rle in enumerate(segmentations)]
    if any(max(r["size"]) >= 1 << 31 and isinstance(r["counts"], bytes) for r in segmentations):
        with pytest.raises(TypeError):
            pack_records([record(1, annotations=of_records)])
    else:
        (made,) = ColumnRecords(pack_records([record(1, annotations=of_records)]))
        assert same(made["annotations"], of_records)


def test_boxes_become_floats_and_polygons_arrays():
    given = annotation(1, bbox=[1, 2, 3, 4], segmentation=[[1, 1, 5, 1, 5, 5.5], SQUARE])
    ((made,),) = [
        r["annotations"] for r in ColumnRecords(pack_records([record(1, annotations=[given])]))
    ]
    assert made["bbox"] == [1, 2, 3, 4] and type(made["bbox"][0]) is float
    assert same(made["segmentation"], [np.array([1, 1, 5, 1, 5, 5.5]), SQUARE])


@pytest.mark.parametrize("value", [{1: 2}, (1, 2), {1, 2}, b"bytes", np.zeros(2), object()])
def test_what_json_does_not_give_back_is_refused(value):
    with pytest.raises(TypeError):
        pack_records([record(1, more=value)])


def test_each_record_is_a_new_one(in_columns):
    columns = in_columns(RECORDS)
    columns[0]["annotations"][0]["segmentation"][0][:] = 0
    columns[0]["annotations"].clear()
    assert same(columns[0], RECORDS[0])
    with pytest.raises(IndexError, match="record 5 of 5"):
        columns[5]
    assert same(columns[-1], columns[np.int64(4)])


def test_added_to_lists(in_columns):
    columns = in_columns(RECORDS)
    assert same(columns + ODD[:1], RECORDS + ODD[:1])
    assert same(ODD[:1] + columns, ODD[:1] + RECORDS)
    assert same(columns + columns, RECORDS * 2)


@pytest.mark.parametrize("records", [RECORDS, RECORDS + ODD[:4]])
def test_columns_say_what_records_say(in_columns, records):
    columns = in_columns(records)
    for chosen in (np.arange(len(records)), np.array([0, 3, 4]), np.array([], np.int64)):
        some = select_records(columns, chosen)
        listed = select_records(records, chosen)
        assert same(list(some), listed) and same(
            list(PackedRecords(records).select(chosen)), listed
        )
        for key in ("width", "height", "image_id", "none"):
            numbers, expected = numbers_of(some, key), numbers_of(listed, key)
            assert (numbers is None) == (expected is None)
            assert numbers is None or numbers.tolist() == expected.tolist()
        assert have_annotations(some).tolist() == have_annotations(listed).tolist()
        objects, expected = all_objects(some), all_objects(listed)
        assert objects.image.tolist() == expected.image.tolist()
        assert objects.category.tolist() == expected.category.tolist()
        assert objects.is_crowd.tolist() == expected.is_crowd.tolist()


def test_classes_that_are_no_column():
    records = [
        record(1, annotations=[annotation(1), {"category_id": 2}, annotation(3, iscrowd=True)])
    ]
    objects = all_objects(ColumnRecords(pack_records(records)))
    assert objects.category.tolist() == [1, 2, 0]
    assert objects.is_crowd.tolist() == [False, False, True]


def test_without_annotations():
    columns = ColumnRecords(pack_records(RECORDS + ODD)).without_annotations()
    for records in (columns, pickle.loads(pickle.dumps(columns)), columns.with_facts(), columns[:]):
        left = [{k: v for k, v in r.items() if k != "annotations"} for r in RECORDS + ODD]
        assert same(list(records), left)
    assert not have_annotations(columns).any() and not len(all_objects(columns).image)


def test_facts_are_below_the_records_own(in_columns):
    columns = ColumnRecords(pack_records([record(1), record(2, label_map="own")]))
    assert [r["label_map"] for r in columns.with_facts(label_map=None, more=1)] == [None, "own"]


@pytest.fixture
def registered_columns():
    name = "test_columns"
    columns = ColumnRecords(pack_records(RECORDS))
    DatasetCatalog.register(name, lambda: columns)
    yield name
    DatasetCatalog.remove(name)


def test_the_catalog_gives_lists_to_change(registered_columns):
    records = DatasetCatalog.get(registered_columns)
    assert type(records) is list
    for r in records:
        r["mark"] = 1
    records.sort(key=lambda r: r["image_id"])
    del records[0]
    assert all(r["mark"] for r in records) and len(records + ODD) == len(RECORDS) - 1 + len(ODD)
    assert same(DatasetCatalog.get(registered_columns), RECORDS)


def test_records_of_several_data_sets(registered_columns):
    DatasetCatalog.register("test_listed", lambda: [record(1)])
    try:
        records = get_records((registered_columns, "test_listed", registered_columns))
        expected = [{"label_map": None, **r} for r in [*RECORDS, record(1), *RECORDS]]
        assert isinstance(records, JoinedRecords) and same(list(records), expected)
        assert isinstance(get_records(registered_columns), ColumnRecords)
        assert type(get_records(("test_listed", "test_listed"))) is list
    finally:
        DatasetCatalog.remove("test_listed")


def test_a_reader_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("segsuite.data.cache.folder._SETTLED_NS", -1_000_000_000)
    source = tmp_path / "index.json"
    calls = []

    def read():
        calls.append(1)
        names = json.loads(source.read_text())
        return [{"file_name": name, "more": {"of": name}} for name in names], {"number": len(names)}

    for names in (["a", "b"], ["a", "b"], ["c"]):
        source.write_text(json.dumps(names)) if names == ["c"] or not calls else None
        records, facts = cached_records("mine", [source], ("x", 1), 1, read)
        assert list(records) == [{"file_name": name, "more": {"of": name}} for name in names]
        assert facts == {"number": len(names)}
    assert len(calls) == 2


@requires_coco_tiny
def test_those_of_coco():
    root = SHARED / "data" / "coco_tiny"
    records = load_coco_json(root / "annotations" / "instances_val2017.json", root / "val2017")
    for r in records:
        for a in r["annotations"]:
            a["bbox"] = list(map(float, a["bbox"]))
    assert same(list(ColumnRecords(pack_records(records))), records)
