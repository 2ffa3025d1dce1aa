"""The signals that end a program. Nothing here imports PyTorch, which takes seconds."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# What asks a run to end: Ctrl-C, a scheduler, a terminal that closes. All save before they do.
ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

# As early as can be, since a parent may end while this process imports PyTorch.
_PARENT = os.getppid()


def die_with_parent(parent: int = _PARENT) -> None:
    """Have the kernel kill this process when its parent is gone, however that came about.

    On Linux alone. The parent may be gone already, which would never be told: then this process
    ends here.

    Args:
        parent: the process that started this one; by default the one that was the parent when this
            module was imported.
    """
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def leave_terminal() -> None:
    """Let what is printed go nowhere where it went to a terminal: one that has been closed, where
    printing is an error."""
    with open(os.devnull, "r+b", buffering=0) as nothing:
        for fd in (0, 1, 2):
            with suppress(OSError):  # closed
                if stat.S_ISCHR(os.fstat(fd).st_mode):
                    os.dup2(nothing.fileno(), fd)


@contextmanager
def ending_on_ctrl_c() -> Iterator[None]:
    """A context in which Ctrl-C ends this process at once, with one line in place of a traceback.

    For the time when a program imports its modules, before it has anything to put in order;
    `raise_on_ctrl_c` ends it earlier.
    """
    # What is ignored stays so: a shell's background job is not for Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        raise_on_ctrl_c()


def raise_on_ctrl_c() -> None:
    """Within `ending_on_ctrl_c`, have Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(signum: int, frame: FrameType | None) -> None:
    # Ctrl-C reaches all processes of torchrun; one of them says so.
    if os.environ.get("RANK", "0") == "0":
        os.write(2, b"interrupted\n")
    os._exit(128 + signum)
