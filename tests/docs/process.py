"""Python programs in processes of their own, forked from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

import segsuite.engine  # noqa: F401  what takes long to import
from tests.helpers import REPO

# PyTorch imports a good part of itself with the first optimiser: the children find it done.
torch.optim.SGD([torch.zeros(1)])


def run_python(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> str:
    """What ``python ARGUMENTS`` prints to its standard output when it is run in `folder`.

    Args:
        arguments: a script and its arguments, ``-m`` and a module, or ``-c`` and a program.
        environment: variables to set.

    Raises:
        AssertionError: it fails, or takes longer than ten minutes.
    """
    if str(REPO) not in sys.path:  # as "", which is another folder by now
        sys.path.insert(0, str(REPO))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with tempfile.TemporaryDirectory() as temporary:
        outputs = [Path(temporary, name) for name in ("stdout", "stderr")]
        process = context.Process(
            target=_child, args=(list(arguments), folder, dict(environment or {}), outputs)
        )
        process.start()
        process.join(timeout=600)
        if process.is_alive():
            process.kill()
        printed, errors = (path.read_text() if path.exists() else "" for path in outputs)
    command = " ".join(["python", *arguments])
    assert process.exitcode == 0, f"{command}\nexit status {process.exitcode}\n{printed}{errors}"
    return printed


def _child(
    arguments: list[str], folder: Path, environment: dict[str, str], outputs: list[Path]
) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    sys.path[:0] = [
        os.path.abspath(p) for p in environment.get("PYTHONPATH", "").split(os.pathsep) if p
    ]
    for descriptor, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.stdout, sys.stderr = (os.fdopen(d, "w", buffering=1) for d in (1, 2))
    torch.set_num_threads(1)
    multiprocessing.set_start_method(None, force=True)  # loader workers are forked as usual
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
