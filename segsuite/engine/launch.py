"""`launch`: run a function in one process, in several, or in those that torchrun started."""

from __future__ import annotations

import ctypes
import dis
import multiprocessing
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from termcolor import colored

from segsuite.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
USER_ERROR = 2  # exit status after an error that the user can mend
_TIMEOUT = timedelta(minutes=30)
_MAX_TEXT = 16_000  # characters of an error that fit into a pipe nobody reads yet


def launch(main: Callable[..., None], num_gpus: int = 1, args: tuple[Any, ...] = ()) -> None:
    """Call ``main(*args)`` in every process of the run.

    Under torchrun (`RANK` is set) this is one of the processes already. Otherwise `num_gpus`
    processes are started, one a GPU, or all on the CPU where there is none; 1 stays in this one.
    They end together: with this process, and all of them when one fails. SIGTERM and SIGINT are
    passed on to them.

    An error that segsuite itself raised over its input is printed as a message, any other with its
    traceback; the process then exits.

    Raises:
        SystemExit: after an error, 2 for one that the user can mend.
    """
    if "RANK" in os.environ:
        _exit_on_error(_run_in_group, main, args)
    elif num_gpus <= 1:
        _exit_on_error(main, *args)
    else:
        _exit_on_error(_spawn, main, num_gpus, args)


def _exit_on_error(function: Callable[..., None], *args: Any) -> None:
    try:
        function(*args)
    except Exception as error:
        text, status = describe_error(error)
        print(text, file=sys.stderr, flush=True)
        sys.exit(status)


def describe_error(error: Exception) -> tuple[str, int]:
    """What to print about an error, and the exit status."""
    if _is_message(error):
        message = str(error)
        if isinstance(error, KeyError):
            message = error.args[0]  # str() would quote it
        elif isinstance(error, OSError) and error.strerror:
            message = error.strerror  # without "[Errno 28]"
        return f"{colored('error:', 'red', attrs=['bold'])} {message}", USER_ERROR
    return "".join(traceback.format_exception(error)), 1


def _is_message(error: Exception) -> bool:
    """Whether a ``raise`` in segsuite made the error, whose text then says all there is to know."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None or isinstance(error, (AssertionError, NotImplementedError)):
        return False
    code = tb.tb_frame.f_code
    raised = code.co_code[tb.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return raised and PACKAGE in Path(code.co_filename).resolve().parents


def _run_in_group(main: Callable[..., None], args: tuple[Any, ...]) -> None:
    """Join the process group that the environment describes, as torchrun sets it."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        # gloo beside it for figures that live on the CPU.
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=_TIMEOUT)
    main(*args)
    dist.destroy_process_group()


def _spawn(main: Callable[..., None], num_processes: int, args: tuple[Any, ...]) -> None:
    _check_devices(num_processes)
    context = multiprocessing.get_context("spawn")
    port = _free_port()
    errors: SimpleQueue[tuple[str, int]] = context.SimpleQueue()
    processes = [
        context.Process(target=_child, args=(main, args, rank, num_processes, port, errors))
        for rank in range(num_processes)
    ]
    for process in processes:
        process.start()

    def pass_on(signum: int, _: object) -> None:
        for process in processes:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signum)

    previous = {s: signal.signal(s, pass_on) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        failed = _wait(processes)
    finally:
        for process in processes:
            process.kill()
        for signum, handler in previous.items():
            signal.signal(signum, handler)
    if not failed:
        return
    if not errors.empty():
        text, status = errors.get()  # the first one; others fail because it did
    else:
        rank = failed[0]
        code = processes[rank].exitcode
        text, status = f"process {rank} of {num_processes} ended with exit status {code}", 1
    print(text, file=sys.stderr, flush=True)
    sys.exit(status)


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


def _wait(processes: list) -> list[int]:
    """Wait until all processes have ended or one has failed, and return the ranks that have."""
    running = list(processes)
    failed: list[int] = []
    while running and not failed:
        wait([p.sentinel for p in running])
        running = [p for p in running if p.is_alive()]
        failed = [rank for rank, p in enumerate(processes) if p.exitcode]
    return failed


def _child(
    main: Callable[..., None],
    args: tuple[Any, ...],
    rank: int,
    num_processes: int,
    port: int,
    errors: SimpleQueue[tuple[str, int]],
) -> None:
    _die_with_parent()
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
        _run_in_group(main, args)
    except Exception as error:
        text, status = describe_error(error)
        if status != USER_ERROR:
            text = f"process {rank}:\n{text}"
        errors.put((text[-_MAX_TEXT:], status))
        os._exit(status)  # no waiting for the others, who may wait for this one


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent is gone, however that came about."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
