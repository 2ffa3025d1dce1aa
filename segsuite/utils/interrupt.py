"""Ctrl-C while a program starts. Nothing here imports PyTorch, which takes seconds."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
