"""torchrun over two hosts, which are network namespaces of this one joined by a virtual cable."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers import REPO
from tests.processes import PATIENCE, python_command, wait_until

from .tiny import load, same_tensors, tiny_config

pytestmark = pytest.mark.slow

MAX_ITER = 600
PORT = 29400
# Seconds: enough for a step on a busy machine, short enough to wait for.
DIST_TIMEOUT = 20

# Steps are slow until the test has done what it does, and the images of each are noted.
PLUGIN = """
import os, signal, time
from pathlib import Path

from segsuite.engine import HOOK_REGISTRY, HookBase
from segsuite.utils import comm


@HOOK_REGISTRY.register()
class Watched(HookBase):
    def __init__(self, cfg):
        self.folder = Path(cfg.OUTPUT_DIR)
        self.stop_at = int(os.environ.get("STOP_AT", 0))

    def after_step(self):
        with (self.folder / f"images.{comm.get_rank()}.txt").open("a") as file:
            file.write(f"{self.trainer.iter} {[r['image_id'] for r in self.trainer.batch]}\\n")
        if self.trainer.iter + 1 == self.stop_at:
            self.trainer.stop("replayed", signum=signal.SIGTERM)
        if not self.stop_at and not (self.folder / "fast").exists():
            time.sleep(0.25)
"""


def ip(*words: object) -> None:
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True, text=True)


class Host:
    """A network namespace with an address, and the torchrun in it."""

    def __init__(self, name: str, address: str, run: Run):
        self.name = name
        self.address = address
        self.run = run
        self.log = run.folder / f"{name}.log"
        self.agent: subprocess.Popen | None = None

    def start(self) -> None:
        run = self.run
        rendezvous = f"is_host={str(self is run.first).lower()},last_call_timeout=2"
        command = python_command(
            *("-m", "torch.distributed.run", "--nnodes", "1:2", "--nproc-per-node", 1),
            *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{run.first.address}:{PORT}"),
            *("--rdzv-id", "test", "--rdzv-conf", rendezvous, "--local-addr", self.address),
            *("--max-restarts", 9, "-m", "segsuite", "train", "--dist-timeout", DIST_TIMEOUT),
            *run.arguments(run.output),
        )
        with self.log.open("a") as log:
            self.agent = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=REPO,
                env={
                    **run.environment,
                    "GLOO_SOCKET_IFNAME": f"{self.name}-eth",
                    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
                },
            )

    def lose(self) -> None:
        """The machine is gone: its agent, and with it what that had started."""
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait()

    def cable(self, state: str) -> None:
        ip("-n", self.name, "link", "set", f"{self.name}-eth", state)


class Run:
    """A training on two hosts.

    Args:
        addresses: of the host that has the rendezvous and of the other one. The lower one has the
            main process, which writes.
    """

    def __init__(self, folder: Path, addresses: tuple[str, str]):
        self.folder = folder
        self.output = folder / "run"
        (folder / "watched.py").write_text(PLUGIN)
        path = os.pathsep.join([str(folder), str(REPO), os.environ.get("PYTHONPATH", "")])
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        names = [f"sg{os.getpid() % 100000}{letter}" for letter in "ab"]
        self.first, self.second = (
            Host(name, address, self) for name, address in zip(names, addresses, strict=True)
        )

    @property
    def hosts(self) -> tuple[Host, Host]:
        return self.first, self.second

    def arguments(self, output: Path) -> list[object]:
        return [
            *("--config-file", tiny_config(), "--plugin", "watched", "--resume"),
            *("OUTPUT_DIR", output, "HOOKS", "('Watched',)", "SOLVER.MAX_ITER", MAX_ITER),
            *("SOLVER.CHECKPOINT_PERIOD", 5, "TEST.EVAL_PERIOD", 0),
        ]

    @property
    def starts(self) -> list[dict]:
        """What the run has noted of each of its starts."""
        try:
            return json.loads((self.output / "run_info.json").read_text())["starts"]
        except FileNotFoundError:
            return []

    def wait_for_start(self, number: int) -> None:
        """Until the run has started so often, and trained a little."""
        self._wait(lambda: len(self.starts) == number and self.starts[-1]["iteration"] is not None)
        self._images.unlink(missing_ok=True)
        begin = self.starts[-1]["iteration"]
        self._wait(lambda: self._iteration() >= begin + 8)

    @property
    def _images(self) -> Path:
        return self.output / "images.0.txt"

    def _iteration(self) -> int:
        return (
            int(self._images.read_text().split("\n")[-2].split()[0]) if self._images.exists() else 0
        )

    def end(self) -> None:
        """Let it train to its end."""
        (self.output / "fast").touch()
        self._wait((self.output / "model_final.pth").exists)

    def _wait(self, condition: Callable[[], bool]) -> None:
        def ended() -> bool:
            return all(host.agent.poll() is not None for host in self.hosts)

        assert wait_until(lambda: condition() or ended(), PATIENCE) and condition(), self.logs()

    def replay(self) -> Path:
        """The same starts, with as many processes and over the same iterations, undisturbed."""
        output = self.folder / "replay"
        starts = self.starts
        for start, following in zip(starts, [*starts[1:], None], strict=True):
            stop_at = following["iteration"] if following else 10**9
            if start["iteration"] == stop_at:
                continue
            processes = ["--num-gpus", start["processes"]]
            code = subprocess.run(
                python_command("-m", "segsuite", "train", *processes, *self.arguments(output)),
                cwd=REPO,
                env={**self.environment, "STOP_AT": str(stop_at)},
                capture_output=True,
            ).returncode
            assert code == (143 if following else 0)
        return output

    def logs(self) -> str:
        return "\n\n".join(host.log.read_text()[-4000:] for host in self.hosts)

    def close(self) -> None:
        for host in self.hosts:
            if host.agent is not None:
                host.agent.kill()
                host.agent.wait()


@pytest.fixture
def make_run(tmp_path) -> Iterator:
    runs: list[Run] = []

    def make(*addresses: str) -> Run:
        run = Run(tmp_path, addresses)
        a, b = run.hosts
        try:
            ip("netns", "add", a.name)
            runs.append(run)
            ip("netns", "add", b.name)
            ends = (f"{a.name}-eth", f"{b.name}-eth")
            ip("link", "add", ends[0], "netns", a.name, "type", "veth", "peer", "name", ends[1])
            ip("link", "set", ends[1], "netns", b.name)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", "") or error
            pytest.skip(f"network namespaces can't be made here: {reason}")
        for host in run.hosts:
            ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", f"{host.name}-eth")
            host.cable("up")
            ip("-n", host.name, "link", "set", "lo", "up")
        return run

    yield make
    for run in runs:
        run.close()
        for host in run.hosts:
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True)


def check(run: Run) -> None:
    """What came of the run is what comes of an undisturbed one of the same numbers of processes."""
    starts = [(start["processes"], start["iteration"]) for start in run.starts]
    assert [processes for processes, _ in starts] == [2, 1, 2], starts
    assert 0 < starts[1][1] < starts[2][1] < MAX_ITER, starts
    replay = run.replay()
    a, b = (load(folder / "model_final.pth")["model"] for folder in (run.output, replay))
    assert same_tensors(a, b)
    first, second = (
        (folder / "images.0.txt").read_text().splitlines()[-20:] for folder in (run.output, replay)
    )
    assert first == second, "the last images"


def test_a_host_is_lost_and_returns(make_run):
    run = make_run("10.77.0.1", "10.77.0.2")
    for host in run.hosts:
        host.start()
    run.wait_for_start(1)
    run.second.lose()
    run.wait_for_start(2)
    run.second.start()
    run.wait_for_start(3)
    run.end()
    check(run)


def test_the_cable_of_the_main_process_is_cut(make_run):
    """It holds the lock of the folder until its own patience ends."""
    run = make_run("10.77.0.2", "10.77.0.1")
    for host in run.hosts:
        host.start()
    run.wait_for_start(1)
    run.second.cable("down")
    run.wait_for_start(2)
    run.second.lose()  # torchrun itself would wait for the cable
    run.second.cable("up")
    run.second.start()
    run.wait_for_start(3)
    run.end()
    check(run)
