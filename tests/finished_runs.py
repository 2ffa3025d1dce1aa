"""Finished runs of tiny networks, made once for all tests of a process that look at one."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from tests.engine.tiny import run, tiny_config
from tests.engine.tiny_coco import coco_config


@functools.cache
def tiny_run() -> Path:
    """OUTPUT_DIR of a semantic run of a few steps with two evaluations."""
    folder = Path(tempfile.mkdtemp()) / "tiny"
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    options = ["SOLVER.MAX_ITER", 8, "TEST.EVAL_PERIOD", 4, "DATALOADER.NUM_WORKERS", 0]
    run(tiny_config(), [*options, "OUTPUT_DIR", str(folder)])
    return folder


@functools.cache
def coco_run(kind: str) -> Path:
    """OUTPUT_DIR of a run of two steps; see `coco_config`."""
    folder = Path(tempfile.mkdtemp()) / kind
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    run(coco_config(kind), ["OUTPUT_DIR", str(folder)])
    return folder


def tiny_images() -> list[Path]:
    """The images that the semantic run was evaluated on."""
    return sorted((tiny_config().parent / "val" / "images").glob("*.png"))
