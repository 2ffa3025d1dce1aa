"""`SignalHook`: SIGTERM, SIGHUP and Ctrl-C end the run in good order."""

from __future__ import annotations

import logging
import signal
import time
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from segsuite.utils import comm
from segsuite.utils.interrupt import ENDING_SIGNALS, leave_terminal

from ..train_loop import HookBase

logger = logging.getLogger(__name__)

_SIGHUP = getattr(signal, "SIGHUP", None)  # not on Windows


class SignalHook(HookBase):
    """On SIGTERM, SIGHUP or SIGINT the step is finished, a checkpoint written, and the loop left;
    `train` then raises `TrainingInterrupted`.

    Another SIGINT, a second or more later, interrupts at once (launchers repeat the one that the
    terminal has sent to all processes). Several processes stop after the same step, whichever of
    them was told: a flag is reduced while the step runs, so that it costs no waiting, and a signal
    counts from the next step on. Register it before the hook that writes the checkpoint.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._received_at = 0.0
        self._previous: dict[signal.Signals, Any] = {}
        self._several = comm.get_world_size() > 1

    def before_train(self) -> None:
        for signum in ENDING_SIGNALS:
            # What is ignored stays so: a shell's background job is not for Ctrl-C, and what nohup
            # starts not for the end of a terminal.
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._previous[signum] = signal.signal(signum, self._receive)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if signum == signal.SIGINT and self._received and now - self._received_at > 1:
            raise KeyboardInterrupt
        if signum == _SIGHUP:
            leave_terminal()
        if self._received is None:
            self._received, self._received_at = signal.Signals(signum), now

    def before_step(self) -> None:
        if self._several:
            self._flag = torch.tensor(0 if self._received is None else int(self._received))
            self._work = dist.all_reduce(self._flag, op=dist.ReduceOp.MAX, async_op=True)

    def after_step(self) -> None:
        received = self._received
        if self._several:
            self._work.wait()
            received = signal.Signals(int(self._flag)) if self._flag else None
        # What comes while the last step is finished stops nothing: the run is complete.
        if received is not None and not self.trainer.is_last_step:
            self.trainer.stop(f"received {received.name}", signum=received)

    def close(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous.clear()
