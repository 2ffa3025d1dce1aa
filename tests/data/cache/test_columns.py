"""Columns come back as they were written, or not at all."""

from __future__ import annotations

import pickle
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segsuite.data.cache import Columns
from segsuite.data.cache.columns import pack_texts, starts_of, take_parts
from tests.processes import ForkedProcess

ARRAYS = {
    "numbers": np.arange(1000, dtype=np.int64) - 500,
    "shares": np.linspace(0, 1, 33).reshape(11, 3),
    "flags": np.array([True, False, True]),
    "none": np.zeros((0, 4)),
    "bytes": np.frombuffer(b"\x00\xff text", np.uint8),
}


def same(columns, arrays) -> bool:
    return columns.keys() == arrays.keys() and all(
        np.array_equal(columns[n], a, equal_nan=a.dtype.kind == "f")
        and columns[n].dtype == a.dtype
        and columns[n].shape == a.shape
        for n, a in arrays.items()
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Columns(ARRAYS, {"names": ["a", "ö"]}).write(tmp_path / "a.columns", ["key", 1])
    return tmp_path / "a.columns"


def test_what_is_written_is_read(file):
    columns = Columns.open(file, ["key", 1])
    assert same(columns, ARRAYS) and columns.facts == {"names": ["a", "ö"]}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_nobody_writes_to_them(file):
    for columns in (Columns.open(file, ["key", 1]), Columns(ARRAYS)):
        with pytest.raises(ValueError, match="read-only"):
            columns["numbers"][0] = 1
    assert ARRAYS["numbers"].flags.writeable


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.text(max_size=5),
        hnp.arrays(
            st.sampled_from(["<i8", "<f8", "|u1", "<i4", "|b1", "<f4"]),
            hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=4,
    ),
    st.none() | st.text(max_size=5) | st.lists(st.integers(), max_size=3),
)
def test_any_arrays(tmp_path_factory, arrays, key):
    path = tmp_path_factory.getbasetemp() / "any.columns"
    Columns(arrays).write(path, key)
    assert same(Columns.open(path, key), arrays)


def test_big_endian_arrays_and_parts_of_others(tmp_path):
    arrays = {"a": np.arange(10, dtype=">i4"), "b": np.arange(20.0).reshape(4, 5)[::2, 1::2]}
    Columns(arrays).write(tmp_path / "c", None)
    columns = Columns.open(tmp_path / "c", None)
    assert columns["a"].tolist() == list(range(10))
    assert columns["b"].tolist() == [[1, 3], [11, 13]]


def test_objects_are_no_columns():
    with pytest.raises(TypeError, match="column 'a' is of object"):
        Columns({"a": np.array([{}])})


def test_another_key_is_refused(file):
    with pytest.raises(ValueError, match="made from something else"):
        Columns.open(file, ["key", 2])


def test_damage_in_any_place_is_found(file):
    whole = file.read_bytes()
    rng = random.Random(0)
    places = [*range(120), *rng.sample(range(len(whole)), 300), len(whole) - 1]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        try:
            columns = Columns.open(file, ["key", 1])
        except ValueError:
            continue
        # The zeros between the header and the first array mean nothing.
        assert same(columns, ARRAYS) and whole[place] == 0


def test_a_part_of_a_file_or_another_file_is_refused(file):
    whole = file.read_bytes()
    for length in (0, 5, 20, 24, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="columns"):
            Columns.open(file, ["key", 1])
    for other in (whole + b"\0", pickle.dumps(ARRAYS), b"PK\x03\x04" + whole, bytes(len(whole))):
        file.write_bytes(other)
        with pytest.raises(ValueError, match="columns"):
            Columns.open(file, ["key", 1])


class _Trap:
    def __reduce__(self):
        return Path.touch, (Path("trapped"),)


def test_nothing_is_unpickled(file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    file.write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(ValueError, match="no file of columns"):
        Columns.open(file, None)
    assert not Path("trapped").exists()


def test_pickled_by_path(file):
    columns = Columns.open(file, ["key", 1])
    pickled = pickle.dumps(columns)
    assert len(pickled) < 300 and same(pickle.loads(pickled), ARRAYS)
    assert same(pickle.loads(pickle.dumps(Columns(ARRAYS, "facts"))), ARRAYS)
    Columns({"a": np.arange(3)}).write(file, ["key", 1])
    assert same(columns, ARRAYS)  # of the old file, which is kept as long as it is mapped
    with pytest.raises(ValueError, match=r"written anew.*Start it again"):
        pickle.loads(pickled)


def _write_again_and_again(path: Path, value: int) -> None:
    while True:
        Columns({"a": np.full(300_000, value)}, value).write(path, "key")


def test_two_writers_and_a_reader(tmp_path):
    path = tmp_path / "a.columns"
    writers = [ForkedProcess(_write_again_and_again, path, value) for value in (1, 2)]
    seen = set()
    deadline = time.monotonic() + 30
    while seen != {1, 2} and time.monotonic() < deadline:
        if path.exists():
            columns = Columns.open(path, "key")
            assert (columns["a"] == columns.facts).all()
            seen.add(columns.facts)
    for writer in writers:
        writer.kill()
    assert seen == {1, 2}


def test_killed_while_it_writes(tmp_path):
    path = tmp_path / "a.columns"
    Columns({"a": np.full(300_000, 0)}, 0).write(path, "key")
    for value in range(1, 7):
        writer = ForkedProcess(_write_again_and_again, path, value)
        while not list(tmp_path.glob(".tmp-*")):
            time.sleep(0.001)
        time.sleep(value / 1000)
        writer.kill()
        columns = Columns.open(path, "key")
        assert (columns["a"] == columns.facts).all()
        for left_over in tmp_path.glob(".tmp-*"):
            left_over.unlink()


def test_texts_and_parts():
    starts, values = pack_texts([b"ab", b"", b"cde"])
    assert starts.tolist() == [0, 2, 2, 5] and values.tobytes() == b"abcde"
    starts, values = take_parts(starts, values, np.array([2, 1, 0, 2]))
    assert starts.tolist() == [0, 3, 3, 5, 8] and values.tobytes() == b"cdeabcde"
    assert [part.tolist() for part in take_parts(starts_of([]), values, np.array([], int))] == [
        [0],
        [],
    ]
