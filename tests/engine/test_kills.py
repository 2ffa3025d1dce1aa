"""A hundred SIGKILLs at random moments of training runs, which end as one that was left alone.

Two processes with loaders' workers, a running average, evaluations and a report. Each round draws
its moments and victims from a seed of its own, which a failure shows and SEGSUITE_KILL_SEED sets.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import (
    PATIENCE,
    ForkedProcess,
    Rendezvous,
    is_running,
    python_command,
    wait_until,
)

from .tiny import assert_same_run, start, tiny_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into Linux's /proc"),
]

ROUNDS, KILLS = 5, 20
BY_LAUNCHER = 2  # kills of a round, of processes that the command starts, which takes seconds each
OPTIONS = [
    *("SOLVER.MAX_ITER", 40, "SOLVER.CHECKPOINT_PERIOD", 3, "TEST.EVAL_PERIOD", 5),
    *("LOG.PERIOD", 1, "TEST.EXAMPLES", 1),
]
GRACE = 10  # seconds that what is left has to notice, before it is ended as torchrun does


@pytest.fixture(scope="module")
def config() -> Path:
    return tiny_config()


class Group:
    """Two processes of one run, forked with all modules imported, as torchrun would start them."""

    def __init__(self, config: Path, output: Path):
        rendezvous = Rendezvous(2)
        self._rendezvous = rendezvous  # serves them
        self.members: list[ForkedProcess] = [
            start(
                config,
                ["OUTPUT_DIR", str(output), *map(str, OPTIONS)],
                resume=True,
                before=os.setsid,  # a group of it and its loaders' workers
                environment=rendezvous.environment(rank),
            )
            for rank in range(2)
        ]

    @property
    def ended(self) -> bool:
        return any(member.exitcode is not None for member in self.members)

    def kill(self, rng: random.Random) -> str:
        """Kill some of it, see that the rest ends, and say what was killed."""
        rank = rng.randrange(2)
        victim = rng.choice(["all", "process", "process", "worker"])
        workers = children(self.members[rank].pid)
        if victim == "worker" and workers:
            kill(rng.choice(workers))
        elif victim == "all":
            for member in self.members:
                kill_group(member.pid)
        else:
            victim = f"process {rank}"
            kill(self.members[rank].pid)
        everyone = [pid for m in self.members for pid in (m.pid, *children(m.pid))]
        wait_until(lambda: all(m.exitcode is not None for m in self.members), GRACE)
        for member in self.members:
            member.kill()
        for pid in everyone:
            kill(pid)
        return victim

    def wait(self) -> None:
        codes = [member.wait() for member in self.members]
        assert codes == [0, 0], "\n\n".join(member.text for member in self.members)


class Command:
    """`segsuite train --num-gpus 2`, a launcher and the processes that it starts."""

    def __init__(self, config: Path, output: Path):
        self._process = subprocess.Popen(
            python_command(
                *("-m", "segsuite", "train", "--config-file", config, "--num-gpus", 2, "--resume"),
                *("OUTPUT_DIR", output, *OPTIONS),
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self, rng: random.Random) -> str:
        victim = rng.choice(["launcher", "launcher", "launcher and all"])
        everyone = descendants(self._process.pid)
        if victim == "launcher":
            self._process.kill()
        else:
            kill_group(self._process.pid)
        self._process.wait(PATIENCE)
        gone = wait_until(lambda: not any(is_running(pid) for pid in everyone), 3 * GRACE)
        assert gone, f"processes {everyone} outlive their launcher"
        return victim


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has not made its group yet
        kill(pid)


def children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    return [d for child in children(pid) for d in (child, *descendants(child))]


def steps(output: Path) -> int:
    """Steps that have been written down, over all starts."""
    path = output / "images.rank0.txt"
    return path.read_text().count("\n") if path.exists() else 0


def wait_for_moment(run: Group | Command, output: Path, rng: random.Random) -> None:
    """Some time into the start, or some steps into the training and a little more."""
    if isinstance(run, Command):
        moment = time.monotonic() + rng.uniform(0, 12)
        wait_until(lambda: run.ended or time.monotonic() > moment, PATIENCE)
    elif rng.random() < 0.3:
        time.sleep(rng.uniform(0, 1.5))
    else:
        goal = steps(output) + rng.randint(1, 9)
        wait_until(lambda: run.ended or steps(output) >= goal, PATIENCE)
        time.sleep(rng.uniform(0, 0.1))


def whole_run(config: Path, output: Path) -> Path:
    group = Group(config, output)
    group.wait()
    return output


@pytest.fixture(scope="module")
def undisturbed(config, tmp_path_factory) -> Path:
    return whole_run(config, tmp_path_factory.mktemp("undisturbed"))


def assert_same_outcome(output: Path, expected: Path) -> None:
    assert_same_run(output, expected)
    figures = [
        json.loads((folder / "evaluation/tiny_val/sem_seg_evaluation.json").read_text())
        for folder in (output, expected)
    ]
    assert figures[0] == figures[1]
    assert "</html>" in (output / "report.html").read_text()
    assert not list(output.rglob(".tmp-*"))


def outputs(folder: Path) -> Iterator[Path]:
    number = 0
    while True:
        yield folder / str(number)
        number += 1


@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_at_random_moments(config, undisturbed, tmp_path, number):
    seed = int(os.environ.get("SEGSUITE_KILL_SEED", secrets.randbelow(10**6)))
    print(f"SEGSUITE_KILL_SEED={seed}", flush=True)
    rng = random.Random(seed)
    by_launcher = set(rng.sample(range(KILLS), BY_LAUNCHER))
    kills = 0
    folders = outputs(tmp_path)
    while kills < KILLS:
        output = next(folders)  # the run before has reached its end
        while kills < KILLS and not (output / "model_final.pth").exists():
            run = (Command if kills in by_launcher else Group)(config, output)
            wait_for_moment(run, output, rng)
            victim = run.kill(rng)
            kills += 1
            print(f"{kills}: {victim}, {steps(output)} steps", flush=True)
        whole_run(config, output)
        assert_same_outcome(output, undisturbed)
