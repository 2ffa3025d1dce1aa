"""What is kept, for how long, where, and what happens where it can't be."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from segsuite.data.cache import Columns, cache_folder, cached_columns, folder
from segsuite.errors import ConfigError
from tests.processes import ForkedProcess


class Reader:
    """Reads numbers from a file, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *paths: Path, arguments: tuple = (), version: int = 1) -> list[int]:
        def make() -> Columns:
            self.calls += 1
            numbers = [int(word) for path in paths for word in path.read_text().split()]
            return Columns({"numbers": np.array(numbers, np.int64)})

        return cached_columns("test", paths, arguments, version, make)["numbers"].tolist()


@pytest.fixture
def read() -> Reader:
    return Reader()


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGSUITE_CACHE", str(tmp_path / "cache"))
    folder._Kept._columns.clear()
    yield
    folder._Kept._columns.clear()


@pytest.fixture
def settled(monkeypatch):
    """Files count as old that have just been written."""
    monkeypatch.setattr(folder, "_SETTLED_NS", -1_000_000_000)


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "source.txt"
    path.write_text("1 2 3")
    return path


def files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file())


def forget() -> None:
    """As in another process."""
    folder._Kept._columns.clear()


@pytest.mark.usefixtures("settled")
class TestKept:
    def test_read_once(self, read, source, tmp_path):
        assert read(source) == read(source) == [1, 2, 3] and read.calls == 1
        forget()
        assert read(source) == [1, 2, 3] and read.calls == 1
        assert len(files(tmp_path)) == 1

    def test_in_another_process(self, read, source, tmp_path):
        read(source)
        os.utime(files(tmp_path)[0], (1, 1))
        assert ForkedProcess(_read_elsewhere, source).result() == ([1, 2, 3], 0)
        assert files(tmp_path)[0].stat().st_mtime > 1  # it has been used: others are removed first

    @pytest.mark.parametrize("change", ["content", "time", "inode", "arguments", "version"])
    def test_read_again_when_something_has_changed(self, read, source, change, tmp_path):
        read(source)
        forget()
        more = {}
        if change == "content":
            source.write_text("1 2 3 4")
        elif change == "time":
            os.utime(source, (1, 1))
        elif change == "inode":
            status = source.stat()
            (tmp_path / "other.txt").write_text("4 5 6")
            os.utime(tmp_path / "other.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
            os.replace(tmp_path / "other.txt", source)
        else:
            more = {"arguments": {"arguments": ("x",)}, "version": {"version": 2}}[change]
        numbers = [int(word) for word in source.read_text().split()]
        assert read(source, **more) == numbers and read.calls == 2
        # The old one is replaced, unless somebody may ask for it again.
        assert len(files(tmp_path)) == (2 if change == "arguments" else 1)

    def test_a_file_rewritten_in_place_with_its_time_set_back(self, read, source):
        read(source)
        status = source.stat()
        time.sleep(0.02)
        with source.open("r+") as file:
            file.write("7 8 9")
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert read(source) == [7, 8, 9]

    def test_of_several_files(self, read, source, tmp_path):
        other = tmp_path / "other.txt"
        other.write_text("4")
        assert read(source, other) == read(source, other) == [1, 2, 3, 4] and read.calls == 1
        other.write_text("55")
        assert read(source, other) == [1, 2, 3, 55]

    def test_damage_is_read_again(self, read, source, tmp_path):
        read(source)
        (file,) = files(tmp_path)
        whole = file.read_bytes()
        for damaged in (b"", b"foreign", whole[:-1], whole[:-1] + b"\1", bytes(len(whole))):
            forget()
            file.write_bytes(damaged)
            assert read(source) == [1, 2, 3]
            assert file.read_bytes() == whole
        assert read.calls == 6

    def test_a_folder_that_is_only_read(self, read, source, tmp_path, monkeypatch):
        blocked = tmp_path / "blocked"
        blocked.write_text("")
        monkeypatch.setenv("SEGSUITE_CACHE", str(blocked / "cache"))
        assert read(source) == read(source) == [1, 2, 3] and read.calls == 1

    def test_a_full_disk(self, read, source, tmp_path, monkeypatch):
        def fail(self, path, key):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Columns, "write", fail)
        assert read(source) == [1, 2, 3] and files(tmp_path) == []

    def test_those_used_longest_ago_are_removed(self, read, tmp_path, monkeypatch):
        paths = [tmp_path / f"{i}.txt" for i in range(4)]
        for age, path in enumerate(paths[:3]):
            path.write_text("1 " * 1000)
            read(path)
            os.utime(max(files(tmp_path), key=os.path.getctime), (1000 - age, 1000 - age))
        size = files(tmp_path)[0].stat().st_size
        monkeypatch.setenv("SEGSUITE_CACHE_GB", str(3.5 * size / 1e9))
        paths[3].write_text("1 " * 1000)
        read(paths[3])
        forget()
        assert len(files(tmp_path)) == 3
        for path in (paths[0], paths[1], paths[3]):
            read(path)
        assert read.calls == 4  # the oldest was that of paths[2]

    def test_what_is_too_large_is_not_kept(self, read, source, tmp_path, monkeypatch):
        monkeypatch.setenv("SEGSUITE_CACHE_GB", "0")
        assert read(source) == [1, 2, 3] and files(tmp_path) == []

    def test_what_killed_processes_left_is_removed(self, read, source, tmp_path):
        old, young = (tmp_path / "cache" / "test" / f".tmp-{name}" for name in ("old", "young"))
        old.parent.mkdir(parents=True)
        for path in (old, young):
            path.write_text("half")
        os.utime(old, (1, 1))
        read(source)
        assert not old.exists() and young.exists()


def _read_elsewhere(source: Path) -> tuple[list[int], int]:
    folder._SETTLED_NS = -1_000_000_000
    read = Reader()
    return read(source), read.calls


def test_a_file_just_written_is_not_trusted(read, source, tmp_path):
    assert read(source) == [1, 2, 3] and files(tmp_path) == []
    before = source.stat()
    source.write_text("4 5 6")  # of the same size, and maybe at the same tick of the clock
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read(source) == [4, 5, 6]


def test_a_file_changed_while_it_is_read_is_not_kept(source, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_SETTLED_NS", -1_000_000_000)

    def make() -> Columns:
        source.write_text("changed")
        return Columns({})

    cached_columns("test", [source], (), 1, make)
    assert files(tmp_path) == []


def test_where_it_is(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    for off in ("off", "OFF", "0", "False", "no"):
        monkeypatch.setenv("SEGSUITE_CACHE", off)
        assert cache_folder() is None
    monkeypatch.delenv("SEGSUITE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(folder.sys, "platform", "linux")
    assert cache_folder() == tmp_path / "xdg" / "segsuite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "segsuite"
    monkeypatch.setattr(folder.sys, "platform", "darwin")
    assert cache_folder() == tmp_path / "home" / "Library" / "Caches" / "segsuite"


def test_off(read, source, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGSUITE_CACHE", "off")
    assert read(source) == [1, 2, 3] and files(tmp_path) == []


def test_a_limit_that_is_no_number(read, source, monkeypatch):
    monkeypatch.setattr(folder, "_SETTLED_NS", -1_000_000_000)
    monkeypatch.setenv("SEGSUITE_CACHE_GB", "lots")
    with pytest.raises(ConfigError, match="SEGSUITE_CACHE_GB is 'lots'; expected a number"):
        read(source)
