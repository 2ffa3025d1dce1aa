"""Logging: coloured lines on the console, plain ones in a file."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from termcolor import colored

_COLORS = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}
_DATE = "%m-%d %H:%M:%S"


class _ConsoleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # termcolor leaves the colours out when the output is no terminal or NO_COLOR is set.
        head = colored(f"[{self.formatTime(record, _DATE)} {record.name}]", "green")
        if record.levelno >= logging.WARNING:
            head += " " + colored(record.levelname, _COLORS[record.levelno], attrs=["bold"])
        body = record.getMessage()
        if record.exc_info:
            body += "\n" + self.formatException(record.exc_info)
        return f"{head} {body}"


class _ConsoleHandler(logging.StreamHandler):
    """Writes above a progress bar, if one is shown, instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


def setup_logger(
    file: str | os.PathLike[str] | None = None, rank: int = 0, name: str = "segsuite"
) -> logging.Logger:
    """Set up the logger `name` and all below it; calling it again replaces what it set up.

    The main process writes to the console. With `file`, which each process has its own of, lines
    are added there too.
    """
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    if rank == 0:
        console = _ConsoleHandler(sys.stdout)
        console.setFormatter(_ConsoleFormatter())
        logger.addHandler(console)
    if file is not None:
        os.makedirs(os.path.dirname(file) or ".", exist_ok=True)
        handler = logging.FileHandler(file, encoding="utf-8")
        handler.setFormatter(
            logging.Formatter("[%(asctime)s %(name)s] %(levelname)s: %(message)s", _DATE)
        )
        logger.addHandler(handler)
    return logger


@contextmanager
def keeping_logger(name: str = "segsuite") -> Iterator[None]:
    """A context after which the logger is as it was before: handlers that have been added, such as
    those of `setup_logger`, are closed."""
    logger = logging.getLogger(name)
    before = (logger.level, logger.propagate, list(logger.handlers))
    try:
        yield
    finally:
        level, logger.propagate, handlers = before
        logger.setLevel(level)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            if handler not in handlers:
                handler.close()
        for handler in handlers:
            logger.addHandler(handler)


def log_traceback(error: BaseException, name: str = "segsuite") -> None:
    """Write an error with its traceback to the file of the log, if there is one.

    The console is left to whoever tells the user.
    """
    logger = logging.getLogger(name)
    exc_info = (type(error), error, error.__traceback__)
    message = "The run ends with an error"
    record = logger.makeRecord(name, logging.ERROR, __file__, 0, message, (), exc_info)
    for handler in logger.handlers:
        # Not by emit(), which would tell a full disk on the console.
        if isinstance(handler, logging.FileHandler) and handler.stream is not None:
            with suppress(OSError):
                handler.stream.write(handler.format(record) + "\n")
                handler.flush()
