"""What the processes of the launch tests run; a light module, since each imports it anew."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from pathlib import Path

import torch

from segsuite.engine.launch import launch
from segsuite.utils import comm


def report(folder: Path) -> None:
    """Write what this process sees of the group."""
    total = int(comm.all_reduce_sum_(torch.tensor(comm.get_rank() + 1)))
    method = multiprocessing.get_start_method()
    seen = f"{comm.get_rank()} {comm.get_local_rank()} {comm.get_world_size()} {total} {method}"
    (folder / f"rank{comm.get_rank()}").write_text(seen)


def fail_in_the_second(kind: type[Exception], folder: Path) -> None:
    if comm.get_rank() == 1:
        raise kind("what went wrong")
    comm.synchronize()  # never to be left
    (folder / "passed").touch()


def wait_for_the_end(folder: Path) -> None:
    path = folder / f"pid{comm.get_rank()}"
    path.with_suffix(".tmp").write_text(str(os.getpid()))
    path.with_suffix(".tmp").replace(path)
    time.sleep(600)


if __name__ == "__main__":
    target, folder = sys.argv[1:]
    if target == "fail":
        launch(fail_in_the_second, 2, (RuntimeError, Path(folder)))
    else:
        launch(globals()[target], 2, (Path(folder),))
