"""Python programs of the pages, in forked processes."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.processes import ForkedProcess


def output_of(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> str:
    """What ``python ARGUMENTS`` prints to its standard output when it is run in `folder`.

    Args:
        arguments: a script and its arguments, ``-m`` and a module, or ``-c`` and a program.
        environment: variables to set.

    Raises:
        AssertionError: it fails, or takes longer than ten minutes.
    """
    process = ForkedProcess(_run, list(arguments), folder, environment=environment)
    status = process.wait()
    command = " ".join(["python", *arguments])
    assert status == 0, f"{command}\nexit status {status}\n{process.text}"
    return process.stdout


def _run(arguments: list[str], folder: Path) -> None:
    os.chdir(folder)
    sys.path[:0] = [
        os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p
    ]
    option, *rest = arguments
    sys.argv = rest if option in ("-m", "-c") else arguments
    if option == "-c":
        sys.path.insert(0, "")
        exec(compile(rest[0], "<example>", "exec"), {"__name__": "__main__"})
    elif option == "-m":
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(option).resolve().parent))
        runpy.run_path(option, run_name="__main__")
