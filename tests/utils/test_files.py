from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import threading
import time

import pytest

from segsuite.utils.files import atomic_file, atomic_path, remove_unfinished, write_json, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class TestWriting:
    def test_text_json_and_bytes(self, tmp_path):
        write_text(tmp_path / "deep" / "a.txt", "grün\n")
        write_json(tmp_path / "a.json", {"a": [1]})
        with atomic_file(tmp_path / "a.bin", "wb") as file:
            file.write(b"\x00\xff")
        assert (tmp_path / "deep" / "a.txt").read_bytes() == "grün\n".encode()
        assert (tmp_path / "a.json").read_text() == '{"a": [1]}\n'
        assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff"
        assert names(tmp_path) == ["a.bin", "a.json", "deep"]

    def test_a_path_for_others_to_write_has_the_suffix_and_the_folder(self, tmp_path):
        with atomic_path(tmp_path / "a.png") as temporary:
            assert temporary.suffix == ".png" and temporary.parent == tmp_path
            temporary.write_bytes(b"new")
            assert not (tmp_path / "a.png").exists()
        assert (tmp_path / "a.png").read_bytes() == b"new" and names(tmp_path) == ["a.png"]

    def test_the_file_is_as_readable_as_any(self, tmp_path):
        write_text(tmp_path / "a", "")
        (tmp_path / "b").write_text("")
        assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


class TestErrors:
    def test_what_was_there_stays_and_no_temporary_is_left(self, tmp_path):
        write_text(tmp_path / "a", "before")
        with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "a") as file:
            file.write("half")
            raise ZeroDivisionError
        with pytest.raises(TypeError):
            write_json(tmp_path / "a", {"a": object()})
        assert (tmp_path / "a").read_text() == "before" and names(tmp_path) == ["a"]

    def test_a_full_disk(self, tmp_path, monkeypatch):
        write_text(tmp_path / "a", "before")

        def fsync(fd):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="No space left"):
            write_text(tmp_path / "a", "after")
        assert (tmp_path / "a").read_text() == "before" and names(tmp_path) == ["a"]


def write_for_ever(path, values):
    while True:
        for value in values:
            write_json(path, [value] * 20_000)


class TestProcesses:
    def test_killed_at_any_moment_there_is_one_content_or_the_other(self, tmp_path):
        path = tmp_path / "a.json"
        context = multiprocessing.get_context("fork")
        for attempt in range(8):
            process = context.Process(target=write_for_ever, args=(path, (1, 2)))
            process.start()
            while not path.exists():
                time.sleep(0.001)
            time.sleep(0.005 * attempt)
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            content = json.loads(path.read_text())
            assert len(content) == 20_000 and len(set(content)) == 1
        write_text(tmp_path / "other.txt", "")
        remove_unfinished(tmp_path, ".json")
        assert names(tmp_path) == ["a.json", "other.txt"]

    def test_two_writers_do_not_mix_their_halves(self, tmp_path):
        path = tmp_path / "a.json"
        context = multiprocessing.get_context("fork")
        writers = [
            context.Process(target=write_for_ever, args=(path, (value,))) for value in (1, 2)
        ]
        for writer in writers:
            writer.start()
        while not path.exists():
            time.sleep(0.001)
        seen = set()
        end = time.monotonic() + 30
        while seen != {1, 2} and time.monotonic() < end:
            content = json.loads(path.read_text())
            assert len(content) == 20_000 and len(set(content)) == 1
            seen.add(content[0])
        for writer in writers:
            writer.kill()
            writer.join()
        assert seen == {1, 2}

    def test_threads_too(self, tmp_path):
        def write(value):
            for _ in range(20):
                write_json(tmp_path / "a.json", [value] * 1000)

        threads = [threading.Thread(target=write, args=(value,)) for value in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(json.loads((tmp_path / "a.json").read_text()))) == 1
        assert names(tmp_path) == ["a.json"]
