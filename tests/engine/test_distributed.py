"""Several processes compute what one does."""

from __future__ import annotations

import functools
import os
import signal

import pytest
import torch

from tests.processes import Rendezvous, wait_for_group

from .test_resume import at_iteration
from .tiny import images, lines, load, same_tensors, start, tiny_config


@pytest.fixture(scope="module")
def config():
    return tiny_config()


def train(config, output, opts, *, processes=1, resume=False, before=None, exitcode=0):
    """Train to the end or a stop; `before` is called in the last process."""
    rendezvous = Rendezvous(processes) if processes > 1 else None
    group = [
        start(
            config,
            ["OUTPUT_DIR", str(output), *map(str, opts)],
            resume=resume,
            before=before if rank == processes - 1 else None,
            environment=rendezvous and rendezvous.environment(rank),
        )
        for rank in range(processes)
    ]
    wait_for_group(group, exitcode)


# Nothing that differs between processes: no dropout, and statistics over images or all processes.
SAME = ["MODEL.SEM_SEG_HEAD.DROPOUT", 0.0, "LOG.PERIOD", 1, "SOLVER.MAX_ITER", 6]


def norm(name):
    channels = ["MODEL.UNET.CHANNELS", [32, 32], "MODEL.SEM_SEG_HEAD.DECODER_CHANNELS", [32]]
    return ["MODEL.UNET.NORM", name, "MODEL.SEM_SEG_HEAD.NORM", name, *channels]


@pytest.mark.parametrize(
    "opts",
    [norm("SyncBN"), [*norm("GN"), "SOLVER.ACCUMULATE_STEPS", 2]],
    ids=["SyncBN", "GN accumulated"],
)
def test_two_processes_give_the_losses_of_one(config, tmp_path, opts):
    one, two = tmp_path / "one", tmp_path / "two"
    opts = [*SAME, *opts]
    train(config, one, opts)
    train(config, two, opts, processes=2)
    for a, b in zip(lines(one), lines(two), strict=True):
        assert a["total_loss"] == pytest.approx(b["total_loss"], abs=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)
    assert lines(two)[-1]["sem_seg/mIoU"] == pytest.approx(lines(one)[-1]["sem_seg/mIoU"], abs=0.2)


def terminate_at(iteration):
    at_iteration(iteration, lambda: os.kill(os.getpid(), signal.SIGTERM))


def test_a_signal_to_one_stops_all_and_another_number_of_processes_goes_on(config, tmp_path):
    one, mixed = tmp_path / "one", tmp_path / "mixed"
    opts = ["SOLVER.MAX_ITER", 10]
    train(config, one, opts)
    train(config, mixed, opts, processes=2, before=functools.partial(terminate_at, 4), exitcode=143)
    checkpoint = max(mixed.glob("model_*.pth"))
    stopped = load(checkpoint)["iteration"]
    assert stopped in (5, 6)  # the signal counts from the next step on
    first, second = images(mixed, 0), images(mixed, 1)
    assert list(first) == list(second) == list(range(stopped))
    together = {i: first[i] + second[i] for i in first}
    train(config, mixed, opts, resume=True)
    together |= {i: ids for i, ids in images(mixed).items() if i >= stopped}
    assert together == images(one)


def test_two_processes_resume_to_the_bit(config, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    opts = ["SOLVER.MAX_ITER", 8]
    train(config, whole, opts, processes=2)
    train(
        config, stopped, opts, processes=2, before=functools.partial(terminate_at, 2), exitcode=143
    )
    train(config, stopped, opts, processes=2, resume=True)
    final = load(whole / "model_final.pth")["model"]
    assert same_tensors(load(stopped / "model_final.pth")["model"], final)
    assert lines(stopped) == lines(whole)


def kill_at(iteration):
    at_iteration(iteration, lambda: os.kill(os.getpid(), signal.SIGKILL))


def together(output, processes):
    """The images of each iteration over all processes, in the order of the batch."""
    parts = [images(output, rank) for rank in range(processes)]
    steps = set.intersection(*map(set, parts))
    return {i: [image for part in parts for image in part[i]] for i in steps}


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(1, 2, 1), (2, 1, 2), (1, 4, 2)], ids=str)
@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_run_whose_processes_change_is_the_run_of_one(config, tmp_path, sizes, accumulated):
    whole, mixed = tmp_path / "whole", tmp_path / "mixed"
    opts = [*SAME, *norm("GN"), "SOLVER.MAX_ITER", 12, "SOLVER.IMS_PER_BATCH", 8]
    opts += ["SOLVER.ACCUMULATE_STEPS", accumulated, "DATALOADER.NUM_WORKERS", 1]
    train(config, whole, opts)
    stream = {}
    for processes, stop in zip(sizes, (3, 7, None), strict=True):
        for rank in range(max(sizes)):
            (mixed / f"images.rank{rank}.txt").unlink(missing_ok=True)
        stopped = stop is not None
        before = functools.partial(terminate_at, stop) if stopped else None
        exitcode = 143 if stopped else 0
        train(
            config,
            mixed,
            opts,
            processes=processes,
            resume=processes != sizes[0] or bool(stream),
            before=before,
            exitcode=exitcode,
        )
        stream |= together(mixed, processes)
    assert stream == images(whole) and len(stream) == 12
    for a, b in zip(lines(whole), lines(mixed), strict=True):
        assert a["total_loss"] == pytest.approx(b["total_loss"], abs=1e-4)
    first, second = (load(folder / "model_final.pth") for folder in (whole, mixed))
    for name, tensor in first["model"].items():
        torch.testing.assert_close(second["model"][name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_killed_and_resumed_by_others_it_repeats_the_same_images(config, tmp_path):
    whole, mixed = tmp_path / "whole", tmp_path / "mixed"
    opts = [*SAME, *norm("GN"), "SOLVER.MAX_ITER", 12]
    train(config, whole, opts)
    train(config, mixed, opts, before=functools.partial(kill_at, 6), exitcode=-signal.SIGKILL)
    assert max(mixed.glob("model_0*.pth")).name == "model_0000004.pth"
    stream = {i: ids for i, ids in images(mixed).items() if i < 4}
    (mixed / "images.rank0.txt").unlink()
    train(config, mixed, opts, processes=2, resume=True)
    stream |= together(mixed, 2)
    assert stream == images(whole)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_resumed_run_keeps_its_batches(config, tmp_path, processes):
    opts = [*SAME, *norm("GN")]
    train(config, tmp_path, opts, before=functools.partial(terminate_at, 2), exitcode=143)
    folder = {path.name: path.read_bytes() for path in tmp_path.glob("model_*.pth")}
    for batch in (2, 8):
        rendezvous = Rendezvous(processes) if processes > 1 else None
        group = [
            start(
                config,
                ["OUTPUT_DIR", str(tmp_path), *map(str, opts), "SOLVER.IMS_PER_BATCH", str(batch)],
                resume=True,
                environment=rendezvous and rendezvous.environment(rank),
            )
            for rank in range(processes)
        ]
        wait_for_group(group, exitcode=2)
        text = "".join(process.text for process in group)
        assert f"SOLVER.IMS_PER_BATCH is {batch}, but the run in" in text
        assert "has batches of 4 images" in text and "SOLVER.ACCUMULATE_STEPS" in text
    assert folder == {path.name: path.read_bytes() for path in tmp_path.glob("model_*.pth")}
    # What it advises: the same batch in parts, or over more processes.
    accumulated = ["SOLVER.ACCUMULATE_STEPS", 2]
    train(config, tmp_path, [*opts, *accumulated], processes=processes, resume=True)
    assert (tmp_path / "model_final.pth").exists()
