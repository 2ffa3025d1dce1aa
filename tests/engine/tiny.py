"""A real run that takes a second: a U-Net of a thousand weights on twelve small images.

`run` and `start` train it as ``segsuite train`` would, `start` in a process of its own.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from segsuite.config import load_config
from segsuite.engine import DefaultTrainer, default_setup, launch
from tests.processes import ForkedProcess

CLASSES = ["ground", "box"]


def write_images(folder: Path, count: int, seed: int) -> None:
    """Noise with a brighter box in it, and the label maps."""
    rng = np.random.default_rng(seed)
    for sub in ("images", "labels"):
        (folder / sub).mkdir(parents=True)
    for i in range(count):
        labels = np.zeros((32, 32), np.uint8)
        y, x, h, w = rng.integers(4, 14, 4)
        labels[y : y + h, x : x + w] = 1
        image = rng.integers(0, 100, (32, 32, 3)) + 120 * labels[..., None]
        Image.fromarray(image.astype(np.uint8)).save(folder / "images" / f"{i:02d}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{i:02d}.png")


@functools.cache
def tiny_config() -> Path:
    """Data and configuration of the run, which uses most of what the engine has.

    They are written once for all tests of this process, as a data set's name means one folder.
    """
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    register = {}
    for split, count in (("train", 10), ("val", 4)):
        write_images(folder / split, count, seed=count)
        register[f"tiny_{split}"] = {
            "IMAGES": str(folder / split / "images"),
            "LABELS": str(folder / split / "labels"),
            "CLASSES": CLASSES,
        }
    config = {
        "MODEL": {
            "DEVICE": "cpu",
            "PIXEL_STD": [60.0, 60.0, 60.0],
            "BACKBONE": {"NAME": "build_unet_backbone", "FREEZE_AT": 0},
            "UNET": {"CHANNELS": [4, 8]},
            "SEM_SEG_HEAD": {
                "NAME": "UNetHead",
                "IN_FEATURES": ["enc1", "enc2"],
                "DECODER_CHANNELS": [4],
                "NUM_CLASSES": 2,
                "NORM": "BN",
                "DROPOUT": 0.1,
            },
        },
        "INPUT": {
            "FORMAT": "RGB",
            "MIN_SIZE_TRAIN": [0],
            "MIN_SIZE_TEST": 0,
            "CROP": {"ENABLED": True, "TYPE": "absolute", "SIZE": [24, 24]},
        },
        "DATASETS": {"TRAIN": ["tiny_train"], "TEST": ["tiny_val"], "REGISTER": register},
        "DATALOADER": {"NUM_WORKERS": 1},
        "SOLVER": {
            "IMS_PER_BATCH": 4,
            "MAX_ITER": 20,
            "BASE_LR": 0.05,
            "LR_SCHEDULER_NAME": "WarmupPolyLR",
            "WARMUP_ITERS": 4,
            "CHECKPOINT_PERIOD": 4,
            "EMA": {"ENABLED": True, "DECAY": 0.9},
        },
        "TEST": {"EVAL_PERIOD": 8},
        "LOG": {"PERIOD": 3, "TENSORBOARD": False},
        "OUTPUT_DIR": str(folder / "output"),
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


class RecordingTrainer(DefaultTrainer):
    """Notes the images of each step in ``OUTPUT_DIR/images.rank<N>.txt``."""

    def run_step(self) -> None:
        super().run_step()
        rank = os.environ.get("RANK", "0")
        with Path(self.cfg.OUTPUT_DIR, f"images.rank{rank}.txt").open("a") as f:
            f.write(f"{self.iter} {' '.join(str(r['image_id']) for r in self.batch)}\n")


def run(config: Path, opts: Sequence[str] = (), *, resume: bool = False) -> DefaultTrainer:
    """Train in this process."""
    cfg = load_config(config, opts)
    default_setup(cfg, argparse.Namespace(resume=resume, eval_only=False))
    trainer = RecordingTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


def start(
    config: Path,
    opts: Sequence[str] = (),
    *,
    resume: bool = False,
    before: Callable[[], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> ForkedProcess:
    """`run` in a forked process.

    Args:
        before: called in it first.
        environment: variables to set, as of a group of processes.
    """
    args = (config, list(opts), resume, before)
    return ForkedProcess(_launch, *args, environment=environment)


def _launch(config, opts, resume, before) -> None:
    if before is not None:
        before()
    launch(_run, args=(config, opts, resume))


def _run(config, opts, resume) -> None:
    run(config, opts, resume=resume)


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def same_tensors(a: dict, b: dict) -> bool:
    """Whether two state dicts are equal to the bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def lines(output_dir: Path) -> list[dict]:
    """``metrics.json`` without what a clock has measured."""
    parsed = [json.loads(line) for line in (output_dir / "metrics.json").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("time", "data_time")} for line in parsed]


def images(output_dir: Path, rank: int = 0) -> dict[int, list[str]]:
    """The images of each iteration; those of a later run stand for those of an earlier."""
    text = (output_dir / f"images.rank{rank}.txt").read_text()
    return {int(i): ids for i, *ids in (line.split() for line in text.splitlines())}


def assert_same_run(a: Path, b: Path) -> None:
    """Two output folders hold the same outcome, to the bit."""
    assert same_tensors(load(a / "model_final.pth")["model"], load(b / "model_final.pth")["model"])
    assert same_tensors(load(a / "model_best.pth")["model"], load(b / "model_best.pth")["model"])
    first, second = (load(max(folder.glob("model_0*.pth"))) for folder in (a, b))
    assert first["iteration"] == second["iteration"]
    for part in ("model", "optimizer", "rng"):
        assert_equal(first[part], second[part])
    assert_equal(first["hooks"]["EMAHook"], second["hooks"]["EMAHook"])
    assert lines(a) == lines(b)


def assert_equal(a: Any, b: Any) -> None:
    """Two nests of dicts, lists and tensors are equal to the bit."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b
