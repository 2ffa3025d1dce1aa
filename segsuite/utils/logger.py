"""Logging: coloured lines on the console, plain ones in ``OUTPUT_DIR/log.txt``."""

from __future__ import annotations

import logging
import os
import sys

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
    output_dir: str | os.PathLike | None = None, rank: int = 0, name: str = "segsuite"
) -> logging.Logger:
    """Set up the logger `name` and all below it; calling it again replaces what it set up.

    The main process writes to the console. With `output_dir` it also writes ``log.txt`` there,
    the others ``log.rank<N>.txt``.
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
    if output_dir is not None:
        os.makedirs(output_dir, exist_ok=True)
        filename = "log.txt" if rank == 0 else f"log.rank{rank}.txt"
        file = logging.FileHandler(os.path.join(output_dir, filename))
        file.setFormatter(
            logging.Formatter("[%(asctime)s %(name)s] %(levelname)s: %(message)s", _DATE)
        )
        logger.addHandler(file)
    return logger
