"""A run that is stopped, in whatever way, and resumed ends as one that was not."""

from __future__ import annotations

import argparse
import errno
import functools
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from segsuite.config import load_config
from segsuite.engine import default_setup
from tests.processes import ForkedProcess, run_group

from .tiny import RecordingTrainer, assert_same_run, images, load, start, tiny_config


@pytest.fixture(scope="module")
def config():
    return tiny_config()


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """The output folder of a run that was never stopped."""
    output = tmp_path_factory.mktemp("whole")
    process = resume(config, output)
    assert process.wait() == 0, process.text
    return output


def resume(config, output, before=None):
    return start(config, ["OUTPUT_DIR", str(output)], resume=True, before=before)


def finish(config, output):
    process = resume(config, output)
    assert process.wait() == 0, process.text
    return process.text


def at_iteration(iteration, action):
    """Have this process's trainer call `action` within the step of an iteration."""
    run_step = RecordingTrainer.run_step

    def step(self):
        run_step(self)
        if self.iter == iteration:
            action()

    RecordingTrainer.run_step = step


def steps_done(output):
    path = output / "images.rank0.txt"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments(config, whole, tmp_path, seed):
    rng = random.Random(seed)
    killed = 0
    for _ in range(4):
        process = resume(config, tmp_path)
        more = steps_done(tmp_path) + rng.randint(0, 8)
        while steps_done(tmp_path) < more and process.exitcode is None:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed >= 2
    finish(config, tmp_path)
    assert_same_run(tmp_path, whole)
    assert images(tmp_path) == images(whole)


def die_while_saving(iteration, moment):
    """Kill this process at a moment of writing the checkpoint of an iteration."""
    fsync, calls = os.fsync, []

    def dying_fsync(fd):
        calls.append(fd)
        if moment == "half written":
            os.ftruncate(fd, os.fstat(fd).st_size // 2)
        elif moment == "before the rename":
            fsync(fd)
        elif len(calls) == 1:  # of the file; the folder's comes after the rename
            return fsync(fd)
        os.kill(os.getpid(), signal.SIGKILL)

    at_iteration(iteration, lambda: setattr(os, "fsync", dying_fsync))


@pytest.mark.parametrize(
    ("moment", "last"), [("half written", 8), ("before the rename", 8), ("after the rename", 12)]
)
def test_killed_while_a_checkpoint_is_written(config, whole, tmp_path, moment, last):
    process = resume(config, tmp_path, before=functools.partial(die_while_saving, 11, moment))
    assert process.wait() == -signal.SIGKILL
    assert f"model_{last:07d}.pth at iteration {last}" in finish(config, tmp_path)
    assert_same_run(tmp_path, whole)
    assert not list(tmp_path.glob(".tmp-*"))


def terminate_group():
    os.killpg(0, signal.SIGTERM)


def terminate_at(iteration):
    os.setsid()  # a group of this process and its loader's worker
    at_iteration(iteration, terminate_group)


def test_sigterm_to_the_whole_group_saves_the_step_and_exits_143(config, whole, tmp_path):
    process = resume(config, tmp_path, before=functools.partial(terminate_at, 9))
    assert process.wait() == 143, process.text
    assert "SIGTERM" in process.text
    assert max(tmp_path.glob("model_0*.pth")).name == "model_0000010.pth"
    assert not (tmp_path / "model_final.pth").exists()
    finish(config, tmp_path)
    assert_same_run(tmp_path, whole)


def test_a_damaged_last_checkpoint_is_told_and_passed_over(config, whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    last = max(tmp_path.glob("model_0*.pth"))
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    text = finish(config, tmp_path)
    assert str(last) in text and "model_0000016.pth at iteration 16" in text
    assert_same_run(tmp_path, whole)


def fill_disk():
    def fsync(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.fsync = fsync


def test_a_full_disk_is_told_and_the_checkpoint_before_it_stays(config, whole, tmp_path):
    process = resume(config, tmp_path, before=functools.partial(at_iteration, 10, fill_disk))
    assert process.wait() == 2
    assert "Traceback" not in process.text
    assert "model_0000012.pth" in process.text and "No space left" in process.text
    assert load(tmp_path / "model_0000008.pth")["iteration"] == 8
    finish(config, tmp_path)
    assert_same_run(tmp_path, whole)


def test_another_batch_size_is_refused(config, whole, tmp_path):
    output = tmp_path / "copy"
    shutil.copytree(whole, output)
    opts = ["OUTPUT_DIR", str(output), "SOLVER.IMS_PER_BATCH", "8"]
    process = start(config, opts, resume=True)
    assert process.wait() == 2, process.text
    assert "SOLVER.IMS_PER_BATCH is 8, but the run in" in process.text
    assert "has batches of 4 images" in process.text


def test_a_finished_run_has_nothing_to_do(config, whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model_final.pth").unlink()  # as if killed just before it was written
    finish(config, tmp_path)
    assert_same_run(tmp_path, whole)


def resume_counting(config, output):
    """What a process that resumes reads: how often it opens the last checkpoint, and how many
    bytes it reads of any file meanwhile."""
    path = max(output.glob("model_0*.pth"))
    opens = []
    sys.addaudithook(lambda event, args: event == "open" and opens.append(str(args[0])))
    cfg = load_config(config, [*LARGE, "OUTPUT_DIR", str(output)])
    default_setup(cfg, argparse.Namespace(resume=True, eval_only=False))
    trainer = RecordingTrainer(cfg)
    del opens[:]
    before = bytes_read()
    trainer.resume_or_load(resume=True)
    return bytes_read() - before, opens.count(str(path)), path.stat().st_size


def bytes_read():
    """By this process, in Python or below."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["rchar"])


LARGE = ["MODEL.UNET.CHANNELS", [64, 128], "SOLVER.MAX_ITER", 2, "DATALOADER.NUM_WORKERS", 0]


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts by Linux's /proc")
@pytest.mark.parametrize("processes", [1, 2])
def test_each_process_reads_the_checkpoint_once(config, tmp_path, processes):
    first = start(config, [*LARGE, "OUTPUT_DIR", str(tmp_path)])
    assert first.wait() == 0, first.text
    if processes == 1:
        reads = [ForkedProcess(resume_counting, config, tmp_path).result()]
    else:
        reads = run_group(resume_counting, config, tmp_path, size=processes)
    for read, opened, size in reads:
        assert size > 1_000_000 and opened == 1
        assert size <= read < 1.2 * size
