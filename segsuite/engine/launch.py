"""`launch`: run a function in one process, in several, or in those that torchrun started."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from segsuite.errors import ConfigError, describe_error
from segsuite.utils.interrupt import (
    ENDING_SIGNALS,
    die_with_parent,
    leave_terminal,
    raise_on_ctrl_c,
)
from segsuite.utils.logger import log_traceback

_AFTER_A_SIGNAL = tuple(128 + signum for signum in ENDING_SIGNALS)  # exit statuses
_SIGHUP = getattr(signal, "SIGHUP", None)  # not on Windows
TIMEOUT = timedelta(minutes=30)
_MAX_TEXT = 16_000  # characters of an error that fit into a pipe nobody reads yet


def launch(
    main: Callable[..., None],
    num_gpus: int = 1,
    args: tuple[Any, ...] = (),
    *,
    timeout: timedelta = TIMEOUT,
) -> None:
    """Call ``main(*args)`` in every process of the run.

    Under torchrun (`RANK` is set) this is one of the processes already. Otherwise `num_gpus`
    processes are started, one a GPU, or all on the CPU where there is none; 1 stays in this one.
    They end together: with this process, and all of them when one fails. SIGTERM, SIGHUP and
    SIGINT are passed on to them.

    A `UserError` is printed as a message, any other error with its traceback; with
    ``SEGSUITE_TRACEBACK=1`` all are. The log's file has the traceback in any case.

    Args:
        timeout: how long processes wait for one that does not answer, as one behind a network that
            is cut, before they fail.

    Raises:
        SystemExit: after an error, 2 for a `UserError` and 1 for any other; after a signal 128 and
            its number, 129 for SIGHUP, 130 for SIGINT and 143 for SIGTERM.
    """
    raise_on_ctrl_c()
    if "RANK" in os.environ:
        if "TORCHELASTIC_RUN_ID" in os.environ:
            die_with_parent()  # whoever else sets RANK may be a shell, which may end
        _exit_on_error(_run_in_group, main, args, timeout)
    elif num_gpus <= 1:
        _exit_on_error(main, *args)
    else:
        _exit_on_error(_spawn, main, num_gpus, args, timeout)


def _exit_on_error(function: Callable[..., None], *args: Any) -> None:
    try:
        function(*args)
        return
    except BrokenPipeError:  # whoever reads the output has seen enough
        raise
    except (Exception, KeyboardInterrupt) as error:
        log_traceback(error)
        text, status = describe_error(error)
    print(text, file=sys.stderr, flush=True)
    sys.exit(status)


def _run_in_group(main: Callable[..., None], args: tuple[Any, ...], timeout: timedelta) -> None:
    """Join the process group that the environment describes, as torchrun sets it."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        # gloo beside it for figures that live on the CPU.
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=timeout)
    try:
        main(*args)
    except SystemExit:  # of all processes: a training that a signal ended
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def _spawn(
    main: Callable[..., None], num_processes: int, args: tuple[Any, ...], timeout: timedelta
) -> None:
    _check_devices(num_processes)
    context = multiprocessing.get_context("spawn")
    port = _free_port()
    errors: SimpleQueue[tuple[str, int]] = context.SimpleQueue()
    processes = [
        context.Process(
            target=_child,
            args=(main, args, timeout, rank, num_processes, port, os.getpid(), errors),
        )
        for rank in range(num_processes)
    ]
    with _passing_signals_on(processes) as received:
        try:
            with _ctrl_c_comes_later():
                for process in processes:
                    process.start()
            for signum in received:  # by those that had not been started yet
                _send(signum, processes)
            failed = _wait(processes, errors)
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
    codes = [process.exitcode or 0 for process in processes]
    if failed is None:
        if any(codes):
            sys.exit(max(codes))
        return
    code = codes[failed]
    if -code in received:  # before the process could do anything about it
        sys.exit(128 - code)
    if not errors.empty():
        text, status = errors.get()  # the first one; others fail because it did
    else:
        text, status = f"process {failed} of {num_processes} ended with exit status {code}", 1
    print(text, file=sys.stderr, flush=True)
    sys.exit(status)


@contextmanager
def _ctrl_c_comes_later() -> Iterator[None]:
    """A context that holds SIGINT back, in this process and in those that it starts.

    They let it come once they can tell of it in one line: while they import their modules, it would
    end in a traceback of each.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _passing_signals_on(processes: list[SpawnProcess]) -> Iterator[list[signal.Signals]]:
    """A context in which the processes get the signals that this one gets; a list of these.

    Raises:
        KeyboardInterrupt: Ctrl-C again, a second or more after the first: some may not come to act
            on it, since they wait for others that already have.
    """
    received: list[signal.Signals] = []
    first = 0.0

    def pass_on(signum: int, _: FrameType | None) -> None:
        nonlocal first
        if signum == signal.SIGINT and received and time.monotonic() - first > 1:
            raise KeyboardInterrupt
        if signum == _SIGHUP:
            leave_terminal()
        first = first or time.monotonic()
        received.append(signal.Signals(signum))
        _send(signum, processes)

    previous = {}
    for signum in ENDING_SIGNALS:
        # What is ignored stays so, in the processes as well.
        if signal.getsignal(signum) is not signal.SIG_IGN:
            previous[signum] = signal.signal(signum, pass_on)
    try:
        yield received
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _send(signum: int, processes: list[SpawnProcess]) -> None:
    for process in processes:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signum)


def _check_devices(num_processes: int) -> None:
    gpus = torch.cuda.device_count()
    if not gpus:
        print(f"no GPU here: running {num_processes} processes on the CPU", flush=True)
    elif num_processes > gpus:
        raise ConfigError(f"--num-gpus is {num_processes}, but this machine has {gpus} GPUs")


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _wait(processes: list[SpawnProcess], errors: SimpleQueue) -> int | None:
    """Wait until all have ended or one has failed, and return the rank of that one.

    Those that end after a signal in good order do so together, but one may take longer.
    """
    running = list(processes)
    while running:
        wait([p.sentinel for p in running])
        running = [p for p in running if p.is_alive()]
        for rank, process in enumerate(processes):
            code = process.exitcode  # once: a process may end between two looks at it
            if code and not (code in _AFTER_A_SIGNAL and errors.empty()):
                return rank
    return None


def _child(
    main: Callable[..., None],
    args: tuple[Any, ...],
    timeout: timedelta,
    rank: int,
    num_processes: int,
    port: int,
    parent: int,
    errors: SimpleQueue[tuple[str, int]],
) -> None:
    die_with_parent(parent)
    # A spawned process would start its loader's workers as it was started itself: slowly.
    multiprocessing.set_start_method(None, force=True)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(num_processes),
        LOCAL_WORLD_SIZE=str(num_processes),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, torch.get_num_threads() // num_processes))
    try:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        _run_in_group(main, args, timeout)
    except (Exception, KeyboardInterrupt) as error:
        # From the terminal and from the launcher it comes twice.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        log_traceback(error)
        text, status = describe_error(error)
        if status == 1:
            text = f"process {rank}:\n{text}"
        errors.put((text[-_MAX_TEXT:], status))
        os._exit(status)  # no waiting for the others, who may wait for this one
