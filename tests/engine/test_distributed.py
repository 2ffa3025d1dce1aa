"""Several processes compute what one does."""

from __future__ import annotations

import functools
import os
import signal

import pytest

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
