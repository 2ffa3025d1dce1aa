from __future__ import annotations

import argparse
import errno
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import threading

import pytest

from segsuite.config import load_config
from segsuite.engine import default_setup
from segsuite.errors import ConfigError, FileAccessError
from segsuite.runs import RunFiles, output_dir
from segsuite.runs.output_dir import (
    OutputDirGuard,
    check_free_space,
    claim_output_dir,
    leaving_nothing_if_refused,
    prepare_output_dir,
    release_output_dir,
)
from tests.engine.tiny import tiny_config
from tests.processes import python_command, run_group, run_segsuite, run_segsuite_here, wait_until


class TestPrepare:
    def test_makes_the_folder_and_leaves_nothing_in_it(self, tmp_path):
        prepare_output_dir(tmp_path / "a" / "b")
        assert list((tmp_path / "a" / "b").iterdir()) == []

    def test_a_path_that_cannot_be_a_folder(self, tmp_path):
        (tmp_path / "file").touch()
        file = re.escape(f"'{tmp_path / 'file'}' is a file, not a folder: move it away, or set")
        for path in ("file", "file/x", "file/x/y"):
            with pytest.raises(OSError, match=rf"OUTPUT_DIR '.*{path}' can't be written: .*{file}"):
                prepare_output_dir(tmp_path / path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_no_permission(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(OSError, match=r"Permission denied.*permissions"):
            prepare_output_dir(tmp_path)

    def test_a_full_disk(self, tmp_path, monkeypatch):
        def fsync(fd):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match=r"OUTPUT_DIR '.*'.*No space left.*make room"):
            prepare_output_dir(tmp_path)

    def test_too_little_room_for_a_checkpoint(self, tmp_path, monkeypatch):
        check_free_space(tmp_path, 1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))
        with pytest.raises(OSError, match="up to 4 MB"):
            check_free_space(tmp_path, 4_000_000)


class TestClaim:
    def test_one_run_at_a_time_until_the_first_is_gone(self, tmp_path):
        context = multiprocessing.get_context("fork")
        claimed = context.Event()

        def hold():
            claim_output_dir(tmp_path, resume=False)
            claimed.set()
            # A forked worker outlives the run for a moment.
            if os.fork() == 0:
                os.read(ours, 1)
                os._exit(0)
            os.read(ours, 1)

        ours, theirs = os.pipe()
        holder = context.Process(target=hold)
        holder.start()
        claimed.wait()
        with pytest.raises(
            FileAccessError, match=rf"in use by another run \(process {holder.pid} on"
        ):
            claim_output_dir(tmp_path, resume=True)
        holder.kill()
        holder.join()
        claim_output_dir(tmp_path, resume=True)
        claim_output_dir(tmp_path, resume=True)  # again by the same process
        assert tmp_path.resolve() in output_dir._held
        os.write(theirs, b"x")

    def test_an_earlier_run_is_not_overwritten(self, tmp_path):
        (tmp_path / "model_0000100.pth").touch()
        with pytest.raises(FileAccessError, match=r"model_0000100\.pth.*--resume"):
            claim_output_dir(tmp_path, resume=False)
        claim_output_dir(tmp_path, resume=True)


class FakeMsvcrt:
    """``msvcrt.locking`` as Windows documents it, by the locks of POSIX."""

    LK_NBLCK = 2

    @staticmethod
    def locking(descriptor, mode, size):
        import fcntl

        assert mode == FakeMsvcrt.LK_NBLCK
        start = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, size, start)
        except OSError:
            raise OSError(errno.EACCES, "Permission denied") from None
        FakeMsvcrt.locked = (start, start + size)


class TestWindows:
    def test_one_run_at_a_time_and_the_text_stays_readable(self, tmp_path, monkeypatch):
        monkeypatch.setattr(output_dir, "fcntl", None)
        monkeypatch.setitem(sys.modules, "msvcrt", FakeMsvcrt)
        context = multiprocessing.get_context("fork")
        claimed = context.Event()

        def hold():
            claim_output_dir(tmp_path, resume=False)
            claimed.set()
            threading.Event().wait()

        holder = context.Process(target=hold)
        holder.start()
        claimed.wait()
        with pytest.raises(FileAccessError, match=rf"in use by another run \(process {holder.pid}"):
            claim_output_dir(tmp_path, resume=True)
        holder.kill()
        holder.join()
        claim_output_dir(tmp_path, resume=True)
        # What is locked there, nobody else can read.
        assert FakeMsvcrt.locked[0] > (tmp_path / ".lock").stat().st_size


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def refused(folder, *, make=()):
    """A run that is refused when it has claimed its folder and made some files."""
    with leaving_nothing_if_refused(folder, claims=True):
        prepare_output_dir(folder)
        claim_output_dir(folder, resume=False)
        for path in make:
            path.write_text("new")
        raise ConfigError("no")


class TestRefused:
    def test_nothing_is_left_not_even_folders(self, tmp_path):
        folder = tmp_path / "a" / "b"
        files = RunFiles(folder)
        with pytest.raises(ConfigError):
            refused(folder, make=[files.log(), files.log(1), files.config, files.info])
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(ConfigError):  # and nothing is in the way of the next
            refused(folder)

    def test_what_was_there_is_as_it_was(self, tmp_path):
        files = RunFiles(tmp_path)
        for path in (files.config, files.log(), tmp_path / "notes.txt"):
            path.write_text("old")
        before = content(tmp_path)
        with pytest.raises(ConfigError):
            refused(tmp_path, make=[files.config, files.info, files.log(3)])
        assert content(tmp_path) == before

    def test_an_earlier_run_keeps_all_and_gets_nothing(self, tmp_path):
        (tmp_path / "model_0000100.pth").touch()
        before = content(tmp_path)
        with pytest.raises(FileAccessError, match="--resume"):
            refused(tmp_path)
        assert content(tmp_path) == before

    def test_other_errors_leave_the_log(self, tmp_path):
        with (
            pytest.raises(ZeroDivisionError),
            leaving_nothing_if_refused(tmp_path, claims=True),
        ):
            claim_output_dir(tmp_path, resume=False)
            RunFiles(tmp_path).log().write_text("a traceback")
            raise ZeroDivisionError
        assert RunFiles(tmp_path).log().read_text() == "a traceback"

    def test_files_of_a_run_that_was_faster_are_its_own(self, tmp_path):
        files = RunFiles(tmp_path / "out")
        context = multiprocessing.get_context("fork")
        claimed = context.Event()

        def win():
            prepare_output_dir(files.folder)
            claim_output_dir(files.folder, resume=False)
            files.log().write_text("of the winner")
            files.config.write_text("of the winner")
            claimed.set()
            threading.Event().wait()

        winner = context.Process(target=win)
        with (
            pytest.raises(FileAccessError, match="in use"),
            leaving_nothing_if_refused(files.folder, claims=True),
        ):
            winner.start()
            claimed.wait()
            claim_output_dir(files.folder, resume=False)
        winner.kill()
        winner.join()
        assert {path.name for path in files.folder.iterdir()} == {
            *("log.txt", "config.yaml", ".lock")
        }


def start_group(output):
    """In a process of a group: the error of a run whose configuration is wrong."""
    opts = ["OUTPUT_DIR", str(output), "LOG.PERIOD", 0]
    cfg = load_config(tiny_config(), opts)
    with pytest.raises(ConfigError, match=r"LOG\.PERIOD is 0"):
        default_setup(cfg, argparse.Namespace(resume=False, eval_only=False))


def test_several_processes_leave_nothing_either(tmp_path):
    tiny_config()
    run_group(start_group, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_on_one_folder_by_real_programs(tmp_path):
    output = tmp_path / "out"
    options = ("OUTPUT_DIR", output, "SOLVER.MAX_ITER", 100_000)
    command = python_command("-m", "segsuite", "train", "--config-file", tiny_config(), *options)
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: RunFiles(output).checkpoints(), timeout=300)
        log = RunFiles(output).log()
        second = run_segsuite("train", "--config-file", tiny_config(), "--resume", *options)
        assert second.returncode == 2
        assert f"in use by another run (process {first.pid} on" in second.stderr
        assert log.read_text().count("environment\n") == 1
    finally:
        first.kill()
        first.wait()
    # The lock went with the process; so it is about the checkpoints now.
    again = run_segsuite("train", "--config-file", tiny_config(), *options)
    assert again.returncode == 2 and "holds a run already" in again.stderr


def test_a_refused_training_leaves_nothing(tmp_path):
    options = ("OUTPUT_DIR", tmp_path / "a" / "out", "MODEL.WEIGHTS", tmp_path / "gone.pth")
    done = run_segsuite("train", "--config-file", tiny_config(), *options)
    assert done.returncode == 2 and "gone.pth" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_training_without_room_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))
    options = ("OUTPUT_DIR", tmp_path / "a" / "out", "DATALOADER.NUM_WORKERS", 0)
    assert run_segsuite_here("train", "--config-file", tiny_config(), *options) == 2
    assert "make room" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def _remove(folder):
    shutil.rmtree(folder)


def _empty(folder):
    for path in folder.iterdir():
        path.unlink()


def _replace(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / ".lock").touch()


def _move(folder):
    folder.rename(folder.with_name("elsewhere"))


class TestGuard:
    @pytest.mark.parametrize("change", [_remove, _empty, _replace, _move])
    def test_a_folder_that_goes_away(self, tmp_path, change):
        folder = tmp_path / "run"
        prepare_output_dir(folder)
        claim_output_dir(folder, resume=False)
        guard = OutputDirGuard(folder)
        guard.check()
        change(folder)
        try:
            with pytest.raises(FileAccessError, match=rf"OUTPUT_DIR '{folder}' was removed"):
                guard.check()
        finally:
            release_output_dir(folder)

    def test_a_folder_that_is_not_claimed(self, tmp_path):
        guard = OutputDirGuard(tmp_path)
        (tmp_path / "file").touch()
        guard.check()

    def test_a_folder_that_is_claimed_again_after_it_was_removed(self, tmp_path):
        folder = tmp_path / "run"
        for _ in range(2):
            prepare_output_dir(folder)
            claim_output_dir(folder, resume=False)
            OutputDirGuard(folder).check()
            shutil.rmtree(folder)
        release_output_dir(folder)
