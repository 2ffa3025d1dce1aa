from __future__ import annotations

import errno
import multiprocessing
import os
import shutil

import pytest

from segsuite.errors import FileAccessError
from segsuite.runs import output_dir
from segsuite.runs.output_dir import check_free_space, claim_output_dir, prepare_output_dir


class TestPrepare:
    def test_makes_the_folder_and_leaves_nothing_in_it(self, tmp_path):
        prepare_output_dir(tmp_path / "a" / "b")
        assert list((tmp_path / "a" / "b").iterdir()) == []

    def test_a_path_that_cannot_be_a_folder(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match=r"OUTPUT_DIR '.*file/x'.*Not a directory.*another"):
            prepare_output_dir(tmp_path / "file" / "x")

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
