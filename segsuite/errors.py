"""Errors over what a user gave: their text says all there is to know, so no traceback is printed.

Each is also the built-in error that a caller in Python expects. An error of any other type, and
one that somebody else's code raises, is a mistake in code and keeps its traceback.
"""

from __future__ import annotations

import os
import signal
import traceback


class UserError(Exception):
    """What was given can't be used. The message says what, what is expected, and how to fix it."""

    def __str__(self) -> str:
        # KeyError would quote the message.
        return str(self.args[0]) if self.args else ""


class ConfigError(UserError, ValueError):
    """A configuration, or an argument of the command line, has a value that can't be used."""


class UnknownNameError(ConfigError, KeyError):
    """A key, component, data set or file format is named that does not exist."""


class NameTakenError(ConfigError, KeyError):
    """A name is given to something that is something else's."""


class DataError(UserError, ValueError):
    """A data set, an image, an annotation or a file of predictions is not as it has to be."""


class WeightsError(UserError, ValueError):
    """Weights, or a checkpoint, are damaged or do not fit the model."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that is named does not exist."""


class FileAccessError(UserError, OSError):
    """A file or folder can't be read, written or downloaded.

    Args:
        errno: of the operating system, if there is one; left out otherwise.
        message: what, why and how to fix it.
    """

    def __str__(self) -> str:
        return self.strerror or super().__str__()


class RunError(UserError, RuntimeError):
    """A run can't go on: its loss is not finite, or a process that it needs has died."""


class PluginError(UserError, RuntimeError):
    """An installed plug-in can't be loaded."""


class MissingPackageError(UserError, ImportError):
    """An optional package is needed that is not installed."""


def describe_error(error: BaseException) -> tuple[str, int]:
    """What to print about an error that ends a program, and the exit status.

    A `UserError` is its message and 2, any other error its traceback and 1, and a KeyboardInterrupt
    one word and 130. With ``SEGSUITE_TRACEBACK=1`` all are tracebacks.
    """
    if isinstance(error, KeyboardInterrupt):
        text, status = "interrupted", 128 + signal.SIGINT
    elif isinstance(error, UserError):
        text, status = f"{_red('error:')} {error}", 2
    else:
        text, status = "", 1
    if not text or os.environ.get("SEGSUITE_TRACEBACK", "0") not in ("", "0"):
        text = "".join(traceback.format_exception(error))
    return text, status


def _red(text: str) -> str:
    try:
        from termcolor import colored
    except ImportError:  # `segsuite env` runs without any package, to say which are missing
        return text
    return colored(text, "red", attrs=["bold"])
