"""What has been looked at is not looked at again, unless it has changed."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path

import pytest

from segsuite.data.cache import folder, remember
from tests.processes import ForkedProcess

CALLS: list[str] = []


def size(record, *, times: int = 1, unknown: object = None) -> list[int]:
    CALLS.append(Path(record["file_name"]).name)
    paths = [record[key] for key in ("file_name", "sem_seg_file_name") if key in record]
    return [times * len(Path(path).read_text()) for path in paths]


def other_size(record, *, times: int = 1) -> list[int]:
    return size(record, times=times)


@pytest.fixture(autouse=True)
def _settled(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(folder, "_SETTLED_NS", -1_000_000_000)
    CALLS.clear()


@pytest.fixture
def records(tmp_path) -> list[dict]:
    made = []
    for i in range(6):
        paths = [tmp_path / f"{i}{suffix}" for suffix in (".jpg", ".png")]
        for path in paths:
            path.write_text("x" * (i + 1))
        made.append({"file_name": str(paths[0]), "sem_seg_file_name": str(paths[1])})
    return made


def look(records, function=size, anew=False, version=1, of="name", keep=lambda r: True, **keywords):
    """The results, and which images were looked at for them."""
    CALLS.clear()
    bound = functools.partial(function, **keywords)
    checked = remember(bound, records, of=of, version=version, keep=keep, anew=anew)
    assert checked.num_old == len(records) - len(CALLS)
    return checked.results, sorted(CALLS)


ALL = [f"{i}.jpg" for i in range(6)]
SIZES = [[i, i] for i in range(1, 7)]


def test_looked_at_once(records):
    assert look(records) == (SIZES, ALL)
    assert look(records) == (SIZES, [])
    assert look(records[::-2]) == (SIZES[::-2], [])
    assert look([]) == ([], [])


def test_in_another_process(records):
    look(records)
    assert ForkedProcess(_look_elsewhere, records).result() == (SIZES, [])


def _look_elsewhere(records):
    folder._SETTLED_NS = -1_000_000_000
    return look(records)


@pytest.mark.parametrize("key", ["file_name", "sem_seg_file_name"])
def test_what_has_changed_is_looked_at(records, key):
    look(records)
    Path(records[2][key]).write_text("longer than before")
    os.utime(records[4][key], (1, 1))
    results, looked_at = look(records)
    assert looked_at == ["2.jpg", "4.jpg"] and 18 in results[2]
    assert look(records) == (results, [])


def test_a_file_rewritten_in_place_with_its_time_set_back(records):
    look(records)
    path = Path(records[1]["file_name"])
    before = path.stat()
    time.sleep(0.02)
    path.write_text("yy")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look(records)[1] == ["1.jpg"]


def test_other_records_are_looked_at(records):
    look(records)
    records[0]["label_map"] = {0: 1}
    records[1]["height"] = 5
    records[2]["annotations"] = [object()]  # of which a check of files knows nothing
    assert look(records)[1] == ["0.jpg", "1.jpg"]
    records.append({"file_name": records[3]["file_name"]})
    assert look(records)[1] == ["3.jpg"]


@pytest.mark.parametrize(
    "other", [{"times": 2}, {"version": 2}, {"function": other_size}, {"of": "other"}]
)
def test_another_question(records, other):
    look(records)
    assert look(records, **other)[1] == ALL
    assert look(records, **other)[1] == look(records)[1] == []  # both are known now


def test_anew(records):
    look(records)
    assert look(records, anew=True) == (SIZES, ALL)
    assert look(records) == (SIZES, [])


def test_only_what_is_to_be_kept(records):
    keep = lambda result: result[0] % 2 == 0  # noqa: E731
    look(records, keep=keep)
    assert look(records, keep=keep) == (SIZES, ALL[::2])


def test_when(records):
    first = remember(functools.partial(size), records, of="name", version=1)
    assert first.num_old == 0
    again = remember(functools.partial(size), records, of="name", version=1)
    assert again.num_old == 6 and again.when() == time.strftime("%Y-%m-%d")
    assert time.time() - 60 < again.since <= again.until <= time.time()


def test_files_just_written_are_not_trusted(records, monkeypatch):
    monkeypatch.setattr(folder, "_SETTLED_NS", 2_000_000_000)
    assert look(records)[1] == look(records)[1] == ALL


def test_missing_files_are_looked_at_each_time(records, tmp_path):
    records[0]["file_name"] = str(tmp_path / "none.jpg")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            look(records)


def test_records_that_json_can_not_hold_are_looked_at_each_time(records):
    records[0]["more"] = object()
    look(records)
    assert look(records)[1] == ["0.jpg"]


def test_damage_and_foreign_files(records, tmp_path):
    look(records)
    (file,) = (tmp_path / "cache").rglob("*.columns")
    for content in (b"", b"foreign", file.read_bytes()[:-1], file.read_bytes()[:-1] + b"?"):
        file.write_bytes(content)
        assert look(records) == (SIZES, ALL)
        assert look(records) == (SIZES, [])


def test_without_a_cache(records, monkeypatch):
    monkeypatch.setenv("SEGSUITE_CACHE", "off")
    assert look(records) == look(records) == (SIZES, ALL)
