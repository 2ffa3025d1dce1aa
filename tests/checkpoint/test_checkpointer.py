import errno
import os
import random
import resource
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from segsuite.checkpoint import Checkpointer


def state(iteration):
    """A state that tells its iteration in every tensor, in records of several sizes."""
    sizes = (1, 1000, 30000, 0)
    return {
        "model": {str(size): torch.full((size,), float(iteration)) for size in sizes},
        "iteration": iteration,
        "config": "SEED: 0\n",
    }


def assert_is_state(loaded, iteration):
    assert loaded["iteration"] == iteration
    for name, tensor in state(iteration)["model"].items():
        assert torch.equal(loaded["model"][name], tensor), name


def name(iteration):
    return f"model_{iteration:07d}"


def in_child(run: Callable[[], None]) -> int:
    """Fork a child that calls `run` and exits; its process id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            torch.set_num_threads(1)  # OpenMP's other threads do not survive a fork
            run()
            status = 0
        finally:
            os._exit(status)
    return pid


class TestSaveAndLoad:
    def test_round_trip(self, tmp_path):
        checkpointer = Checkpointer(tmp_path / "new" / "folder")
        path = checkpointer.save(name(5), state(5))
        assert path == tmp_path / "new" / "folder" / "model_0000005.pth"
        assert_is_state(checkpointer.load(path), 5)
        found, loaded = checkpointer.latest()
        assert found == path
        assert_is_state(loaded, 5)

    def test_others_can_read_it(self, tmp_path):
        path = Checkpointer(tmp_path).save("model_final", state(5))
        assert_is_state(torch.load(path, weights_only=True), 5)
        assert_is_state(torch.load(path, weights_only=True, mmap=True), 5)

    def test_nothing_but_the_checkpoint_is_left(self, tmp_path):
        (tmp_path / ".tmp-0123abcd-model_0000001.pth").write_bytes(b"of a killed run")
        (tmp_path / "metrics.json").write_text("{}")
        Checkpointer(tmp_path).save(name(5), state(5))
        assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.json", "model_0000005.pth"]

    def test_keeps_the_newest(self, tmp_path):
        checkpointer = Checkpointer(tmp_path, keep=2)
        checkpointer.save("model_best", state(1))
        for iteration in (9_999_998, 9_999_999, 10_000_000):
            checkpointer.save(name(iteration), state(iteration))
        checkpointer.save("model_final", state(1))
        assert {p.name for p in tmp_path.iterdir()} == {
            "model_9999999.pth",
            "model_10000000.pth",
            "model_best.pth",
            "model_final.pth",
        }
        assert checkpointer.latest()[1]["iteration"] == 10_000_000

    def test_what_was_just_written_is_kept(self, tmp_path):
        checkpointer = Checkpointer(tmp_path, keep=1)
        checkpointer.save(name(50), state(50))
        checkpointer.save(name(10), state(10))
        assert [path.stem for path in checkpointer.periodic()] == [name(50), name(10)]

    def test_no_checkpoint_yet(self, tmp_path):
        assert Checkpointer(tmp_path / "missing").latest() is None

    def test_weights_alone_cannot_be_resumed(self, tmp_path):
        torch.save({"model": {}}, tmp_path / "weights.pth")
        with pytest.raises(ValueError, match=r"weights\.pth.*MODEL\.WEIGHTS"):
            Checkpointer(tmp_path).load(tmp_path / "weights.pth")

    @pytest.mark.parametrize(
        "value, where",
        [
            (
                {"hooks": {"best": np.float64(0.5)}},
                r"state\['hooks'\]\['best'\] is a numpy.float64",
            ),
            ({"hooks": [0, {1, 2}]}, r"state\['hooks'\]\[1\] is a builtins.set"),
            ({"hooks": {np.int64(1): 0}}, r"a key of state\['hooks'\] is a numpy.int64"),
        ],
    )
    def test_what_could_not_be_loaded_is_not_saved(self, tmp_path, value, where):
        with pytest.raises(TypeError, match=where):
            Checkpointer(tmp_path).save(name(1), {**state(1), **value})
        assert not list(tmp_path.iterdir())

    def test_keep_nothing(self, tmp_path):
        with pytest.raises(ValueError, match=r"SOLVER\.CHECKPOINTS_TO_KEEP"):
            Checkpointer(tmp_path, keep=0)

    def test_older_ones_go_when_the_new_one_is_on_the_disk(self, tmp_path, monkeypatch):
        checkpointer = Checkpointer(tmp_path, keep=1)
        checkpointer.save(name(1), state(1))
        events = []
        fsync, replace, unlink = os.fsync, Path.replace, Path.unlink

        def record(event, call):
            def recorded(target, *args, **kwargs):
                events.append(event(target))
                return call(target, *args, **kwargs)

            return recorded

        def synced(descriptor):
            return "sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file"

        monkeypatch.setattr(os, "fsync", record(synced, fsync))
        monkeypatch.setattr(Path, "replace", record(lambda path: f"rename {path.name}", replace))
        monkeypatch.setattr(Path, "unlink", record(lambda path: f"remove {path.name}", unlink))
        checkpointer.save(name(2), state(2))
        temporary = next(e for e in events if e.startswith("rename ")).removeprefix("rename ")
        assert temporary.endswith("model_0000002.pth") and temporary.startswith(".")
        assert [event for event in events if event != f"remove {temporary}"] == [
            "sync file",
            f"rename {temporary}",
            "sync folder",
            "remove model_0000001.pth",
        ]


class TestDamage:
    def test_the_one_before_is_used(self, tmp_path, caplog):
        checkpointer = Checkpointer(tmp_path)
        checkpointer.save(name(1), state(1))
        newest = checkpointer.save(name(2), state(2))
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
        path, loaded = checkpointer.latest()
        assert path.name == "model_0000001.pth"
        assert_is_state(loaded, 1)
        assert "model_0000002.pth" in caplog.text
        assert "checksum" in caplog.text

    def test_none_is_whole(self, tmp_path):
        checkpointer = Checkpointer(tmp_path)
        for iteration in (1, 2):
            os.truncate(checkpointer.save(name(iteration), state(iteration)), 100 * iteration)
        with pytest.raises(ValueError, match=r"(?s)model_0000002\.pth.*model_0000001\.pth"):
            checkpointer.latest()


class TestKill:
    """Each child is a real process that dies of SIGKILL; what it leaves must be resumable."""

    @pytest.mark.parametrize("moment", ["first byte", "half", "fsync", "rename", "folder"])
    def test_at_each_stage_of_writing(self, tmp_path, moment, monkeypatch):
        checkpointer = Checkpointer(tmp_path)
        checkpointer.save(name(1), state(1))

        def die(*_args):
            os.kill(os.getpid(), signal.SIGKILL)

        def run():
            if moment == "first byte":
                monkeypatch.setattr(Path, "open", lambda self, *_, **__: self.touch() or die())
            elif moment == "half":
                size = (tmp_path / "model_0000001.pth").stat().st_size
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
            elif moment == "fsync":
                monkeypatch.setattr(os, "fsync", die)
            elif moment == "rename":
                monkeypatch.setattr(Path, "replace", die)
            elif moment == "folder":
                monkeypatch.setattr(os, "open", die)
            checkpointer.save(name(2), state(2))

        _, status = os.waitpid(in_child(run), 0)
        assert os.WIFSIGNALED(status)
        iteration = 2 if moment == "folder" else 1
        assert_is_state(checkpointer.latest()[1], iteration)
        checkpointer.save(name(3), state(3))
        assert not list(tmp_path.glob(".*"))

    def test_at_random_moments(self, tmp_path):
        checkpointer = Checkpointer(tmp_path)
        checkpointer.save(name(0), state(0))

        def run():
            iteration = checkpointer.latest()[1]["iteration"]
            while True:
                iteration += 1
                checkpointer.save(name(iteration), state(iteration))

        rng = random.Random(0)
        reached = 0
        for _ in range(25):
            pid = in_child(run)
            time.sleep(rng.uniform(0.0, 0.1))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            path, loaded = checkpointer.latest()
            assert_is_state(loaded, loaded["iteration"])
            # The newest name is the newest state: nothing was passed over as damaged.
            assert path == checkpointer.periodic()[0]
            assert loaded["iteration"] >= reached
            reached = loaded["iteration"]
        assert reached > 0


class TestDiskFull:
    def test_real_one(self, tmp_path):
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a small disk is not permitted here")
        try:
            self.check(Checkpointer(disk), "No space left on device")
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def test_file_size_limit(self, tmp_path):
        def run():
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            self.check(Checkpointer(tmp_path), "File too large")

        _, status = os.waitpid(in_child(run), 0)
        assert os.waitstatus_to_exitcode(status) == 0

    def test_found_when_syncing(self, tmp_path, monkeypatch):
        checkpointer = Checkpointer(tmp_path)

        def full(_file):
            raise OSError(errno.ENOSPC, "No space left on device")

        checkpointer.save(name(1), state(1))
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"model_0000002\.pth.*OUTPUT_DIR") as caught:
            checkpointer.save(name(2), state(2))
        assert caught.value.errno == errno.ENOSPC
        assert [p.name for p in tmp_path.iterdir()] == ["model_0000001.pth"]

    @staticmethod
    def check(checkpointer, reason):
        """The first state fits, the second, larger one does not."""
        checkpointer.save(name(1), state(1))
        larger = {**state(2), "optimizer": torch.zeros(100_000)}
        with pytest.raises(OSError, match=rf"model_0000002\.pth.*{reason}.*OUTPUT_DIR"):
            checkpointer.save(name(2), larger)
        assert [p.name for p in checkpointer.directory.iterdir()] == ["model_0000001.pth"]
        assert_is_state(checkpointer.latest()[1], 1)
