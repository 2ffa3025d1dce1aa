"""Processes that tests start: programs as a user starts them, and functions in forked processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from segsuite.cli import main
from tests.helpers import REPO

# Seconds after which a process hangs: far more than any takes on a busy machine.
PATIENCE = 600


def python_command(*arguments: object) -> list[str]:
    """``python ARGUMENTS`` with the interpreter of the tests."""
    return [sys.executable, *map(str, arguments)]


def run_python(
    *arguments: object, folder: Path = REPO, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS`` to its end, whatever its exit status.

    Args:
        folder: where it runs.
        environment: variables to set beside those of this process.
    """
    return subprocess.run(
        python_command(*arguments),
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def run_segsuite(
    *words: object, folder: Path = REPO, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``segsuite WORDS`` to its end, whatever its exit status; see `run_python`."""
    return run_python("-m", "segsuite", *words, folder=folder, environment=environment)


def run_segsuite_here(*words: object) -> int:
    """Run ``segsuite WORDS`` in this process, which has everything imported; its exit status."""
    try:
        main([str(word) for word in words])
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended; needs /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], object], timeout: float = 60) -> bool:
    """Wait for something to become true; whether it has within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class ForkedProcess:
    """Calls ``function(*args)`` in a process forked from a server that has everything imported.

    What the function and its arguments are must be picklable. The process has the environment of
    this one, and its output is kept.

    Args:
        environment: variables to set beside those of this process.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *args: Any,
        environment: Mapping[str, str] | None = None,
    ):
        if str(REPO) not in sys.path:  # as "", which may be another folder by now
            sys.path.insert(0, str(REPO))
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name, name) for name in ("result", "stdout", "stderr")]
        for file in self._files:
            file.touch()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.forkserver", __name__])
        self._process = context.Process(
            target=_run_forked,
            args=(function, args, {**os.environ, **(environment or {})}, self._files),
        )
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """What `multiprocessing.connection.wait` takes."""
        return self._process.sentinel

    @property
    def exitcode(self) -> int | None:
        """None while it runs; negative: the signal that killed it."""
        return self._process.exitcode

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit code.

        Raises:
            AssertionError: it has not ended after `timeout` seconds, and is killed.
        """
        self._process.join(timeout)
        if self._process.is_alive():
            self.kill()
            raise AssertionError(f"the process hangs; it has printed\n{self.text}")
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    @property
    def stdout(self) -> str:
        return self._files[1].read_text()

    @property
    def stderr(self) -> str:
        return self._files[2].read_text()

    @property
    def text(self) -> str:
        """All that it has printed."""
        return self.stdout + self.stderr

    def result(self) -> Any:
        """What the function has returned, once the process has ended well."""
        assert self.wait() == 0, self.text
        return pickle.loads(self._files[0].read_bytes())


def _run_forked(
    function: Callable[..., Any], args: tuple, environment: dict[str, str], files: list[Path]
) -> None:
    result, *outputs = files
    for descriptor, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY), descriptor)
    sys.stdout, sys.stderr = (os.fdopen(d, "w", buffering=1) for d in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    multiprocessing.set_start_method(None, force=True)  # loader workers are forked as usual
    result.write_bytes(pickle.dumps(function(*args)))


class Rendezvous:
    """Where the processes of a group find each other.

    This process serves the store, as torchrun does, at a port that is never free for others
    between its choice and its use.
    """

    def __init__(self, size: int):
        self._size = size
        self._store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def environment(self, rank: int) -> dict[str, str]:
        """The variables of a process of the group, as torchrun sets them."""
        return {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(self._size),
            "LOCAL_WORLD_SIZE": str(self._size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self._store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "TORCHELASTIC_RESTART_COUNT": "0",
        }


def run_group(function: Callable[..., Any], *args: Any, size: int = 2) -> list[Any]:
    """What each of `size` processes, joined by gloo, returns for ``function(*args)``, by rank.

    Raises:
        AssertionError: one fails.
    """
    rendezvous = Rendezvous(size)
    group = [
        ForkedProcess(_in_group, function, *args, environment=rendezvous.environment(rank))
        for rank in range(size)
    ]
    wait_for_group(group)
    return [process.result() for process in group]


def wait_for_group(group: Sequence[ForkedProcess], exitcode: int = 0) -> None:
    """Wait until all have ended, and in the way that is expected.

    Raises:
        AssertionError: one ends otherwise, or they hang; all of them are killed.
    """
    deadline = time.monotonic() + PATIENCE
    running, failed = list(group), []
    while running and not failed:
        if not wait([process.sentinel for process in running], deadline - time.monotonic()):
            failed = running
        failed = failed or [p for p in running if p.exitcode not in (None, exitcode)]
        running = [process for process in running if process.exitcode is None]
    for process in running:
        process.kill()
    assert not failed, "\n\n".join(process.text for process in failed)


def _in_group(function: Callable[..., Any], *args: Any) -> Any:
    dist.init_process_group("gloo")
    try:
        return function(*args)
    finally:
        dist.destroy_process_group()
