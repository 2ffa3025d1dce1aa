"""`tools/train_net.py` with the real loader: milliseconds a step, and how long it waits for data.

    python benchmarks/training_loop.py [--device cuda] [--json results.json]
    python benchmarks/training_loop.py --device cuda --config-file FILE [--steps N]

Each run is a process of its own, as a user would start it, with as many loader workers as there are
processors, up to 16: Mask R-CNN on images as large as COCO's, 16 a step, and LR-ASPP on images as
large as Cityscapes', 8 windows of 512 x 1024 a step, both in bfloat16 on a GPU. The images are
generated into a temporary folder; or a configuration is trained with all that it says. There is
nothing to compare with: what counts is the share of the time that is waited for data.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from comparison import Case, Row, Settings, main
from device_work import Work
from generated_data import CLASSES, write_coco, write_label_maps
from mask_rcnn import CONFIG, ours

from segsuite.config import load_config

ROOT = Path(__file__).resolve().parents[1]
# Longer than any of the runs should take, and what is left to one when the time is up.
_SECONDS, _SECONDS_LATE = 240, 60
# Writes data into a folder and returns the configuration that trains on it.
Make = Callable[[Path, Settings], dict[str, Any]]


def mask_rcnn(folder: Path, settings: Settings) -> dict[str, Any]:
    """A configuration with its data and weights, frozen parts of which are at least sane."""
    count, height, width = (4, 64, 96) if settings.quick else (64, 480, 640)
    write_coco(folder / "data", count, height, width)
    torch.save({"model": ours("cpu").state_dict()}, folder / "weights.pth")
    data = {"FORMAT": "coco_instances", "IMAGES": str(folder / "data/images")}
    data["ANNOTATIONS"] = str(folder / "data/instances.json")
    cfg: dict[str, Any] = {
        "_BASE_": str(CONFIG),
        "MODEL": {"WEIGHTS": str(folder / "weights.pth"), "PIXEL_STD": [57.375, 57.12, 58.395]},
        "DATASETS": {"REGISTER": {"generated": data}, "TRAIN": ["generated"], "TEST": []},
        "SOLVER": {"IMS_PER_BATCH": 2 if settings.quick else 16, "BASE_LR": 1e-5},
    }
    if settings.quick:
        cfg["MODEL"]["ROI_HEADS"] = {"BATCH_SIZE_PER_IMAGE": 16}
        cfg["INPUT"] = {"MIN_SIZE_TRAIN": [64], "MAX_SIZE_TRAIN": 96}
    return cfg


def lraspp(folder: Path, settings: Settings) -> dict[str, Any]:
    count, height, width = (4, 96, 128) if settings.quick else (16, 1024, 2048)
    window = [64, 96] if settings.quick else [512, 1024]
    write_label_maps(folder / "data", count, height, width)
    data = {
        "IMAGES": str(folder / "data/images"),
        "LABELS": str(folder / "data/labels"),
        "CLASSES": [f"class {k}" for k in range(CLASSES)],
    }
    return {
        "_BASE_": str(ROOT / "configs/_base_/lraspp.yaml"),
        "MODEL": {"SEM_SEG_HEAD": {"NUM_CLASSES": CLASSES}},
        "DATASETS": {"REGISTER": {"generated": data}, "TRAIN": ["generated"], "TEST": []},
        "SOLVER": {"IMS_PER_BATCH": 2 if settings.quick else 8, "BASE_LR": 1e-3},
        "INPUT": {
            "MIN_SIZE_TRAIN": [0],
            "RANDOM_SCALE": [0.5, 2.0],
            "CROP": {"ENABLED": True, "TYPE": "absolute", "SIZE": window},
        },
    }


def measure(name: str, make: Make | None, steps: int, settings: Settings) -> Row:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if make is None:
            file, options = settings.arguments.config_file, {}
        else:
            file, options = folder / "config.yaml", options_of_generated(settings)
            file.write_text(json.dumps(make(folder, settings)))  # which is YAML, too
        images = load_config(file).SOLVER.IMS_PER_BATCH
        options["MODEL.DEVICE"] = settings.device
        left = max(settings.deadline - time.monotonic(), 0) + _SECONDS_LATE
        times = train(file, folder, steps, options, min(_SECONDS, left))
    seconds, waited = times["seconds"], times["data_seconds"]
    remarks = (
        f"{1 / seconds:.2f} steps/s, {images / seconds:.1f} images/s, waiting for data "
        f"{waited / seconds:.1%}"
    )
    return Row(name, None, 1e3 * seconds, segsuite_work=Work(**times["work"]), remarks=remarks)


def options_of_generated(settings: Settings) -> dict[str, Any]:
    return {
        "SOLVER.AMP.ENABLED": settings.device == "cuda",
        "SOLVER.AMP.DTYPE": "bfloat16",
        "DATALOADER.NUM_WORKERS": 1 if settings.quick else min(os.cpu_count() or 1, 16),
    }


def train(
    file: Path, folder: Path, steps: int, options: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """What `StepTimes` has written of a run of tools/train_net.py."""
    path = folder / "times.json"
    hook = {"StepTimes": {"PATH": str(path), "WARM_UP": max(steps // 4, 1)}}
    options = {
        **options,
        "OUTPUT_DIR": folder / "output",
        "HOOKS": [hook],
        "SOLVER.MAX_ITER": steps,
        "SOLVER.CHECKPOINT_PERIOD": 10**9,
        "SOLVER.STEPS": [],
        "DATASETS.TEST": [],
        "LOG.TENSORBOARD": False,
    }
    command = [sys.executable, str(ROOT / "tools/train_net.py"), "--config-file", str(file)]
    command += ["--plugin", "step_times"]
    command += [str(word) for pair in options.items() for word in pair]
    here = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": here.rstrip(os.pathsep)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    if ended.returncode or not path.exists():
        last = (ended.stdout.strip().splitlines() or [""])[-1]
        raise RuntimeError(f"train_net.py ended with status {ended.returncode}: {last}")
    return json.loads(path.read_text())


def cases(settings: Settings) -> Iterator[Case]:
    given = getattr(settings.arguments, "config_file", None)
    steps = getattr(settings.arguments, "steps", None) or (6 if settings.quick else 60)
    dtype = "bfloat16" if settings.device == "cuda" else "float32"
    if given is not None:
        name = f"train_net.py, {Path(given).stem}"
        yield Case(name, partial(measure, name, None, steps))
        return
    for model, make in (("Mask R-CNN", mask_rcnn), ("LR-ASPP", lraspp)):
        name = f"train_net.py, {model}, generated images, {dtype}"
        yield Case(name, partial(measure, name, make, steps))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config-file", help="train this instead, on the data that it names")
    parser.add_argument("--steps", type=int, help="of each run, a quarter of them to warm up")


if __name__ == "__main__":
    main(__doc__, cases, add_arguments)
