"""Pages that a newcomer follows from top to bottom: their commands are run, one after the other."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from tests.helpers import REPO
from tests.processes import run_python

from .pages import lay_out
from .play import play
from .process import output_of
from .shell import Command


@pytest.fixture
def folder(tmp_path, monkeypatch, shapes_root):
    """A checkout with the generated shapes, which is the current folder."""
    monkeypatch.chdir(lay_out(tmp_path))
    monkeypatch.setenv("SEGSUITE_DATASETS", "datasets")
    (tmp_path / "datasets").symlink_to(shapes_root)
    return tmp_path


def runner(folder: Path, replace: Mapping[str, str] | None = None) -> Callable[[Command], str]:
    """Runs Python commands, with some arguments replaced by quicker ones, and passes over others
    (which install what is there)."""

    def run(command: Command) -> str:
        if command.arguments[:2] == ("-m", "venv"):
            return ""
        words = {"python": [], "segsuite": ["-m", "segsuite"]}.get(command.program)
        if words is None:
            return ""
        arguments = [*words, *((replace or {}).get(a, a) for a in command.arguments)]
        return output_of(arguments, folder, {"SEGSUITE_DATASETS": "datasets"})

    return run


def test_getting_started(folder):
    run = runner(folder, {"480": "4", "600": "6"})
    quick = ["SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "2", "TEST.EXAMPLES", "1"]

    def run_or_make(command: Command) -> str:
        if command.program == "make":
            program = f"from segsuite.cli.demo import demo; demo('output/demo', {quick})"
            return output_of(["-c", program], folder, {"SEGSUITE_DATASETS": "datasets"})
        return run(command)

    printed = play("docs/getting_started.md", folder, run=run_or_make)
    demo = folder / "output" / "demo"
    listed = re.findall(r"`([\w/.]+)`", _table("docs/getting_started.md"))
    assert len(listed) == 9
    for name in listed:
        assert (demo / name.replace("0000240", "0000002")).exists(), name
    assert (folder / "output" / "predictions" / "first.jpg").exists()
    assert (folder / "output" / "predictions" / "0003.jpg").exists()
    assert (folder / "output" / "comparison.html").exists()
    assert (folder / "output" / "data" / "data.jpg").exists()
    (compared,) = (text for command, text in printed.items() if "compare.py" in command)
    assert "shapes_val: 60 images" in compared
    log = (folder / "output" / "longer" / "log.txt").read_text()
    assert "at iteration 4" in log


def _table(page: str) -> str:
    """The first cells of the table on a page."""
    rows = [line for line in (REPO / page).read_text().splitlines() if line.startswith("| `")]
    return "\n".join(row.split("|")[1] for row in rows)


def test_coming_from(folder):
    printed = play("docs/coming_from.md", folder, run=runner(folder))
    (converted,) = (text for command, text in printed.items() if "convert" in command)
    assert "torchvision Lite R-ASPP: 319 names converted" in converted


def test_own_dataset(folder):
    printed = play("docs/own_dataset.md", folder, run=runner(folder))
    _, label_maps, training, coco = printed.values()
    assert "0 errors" in label_maps and "fields_train: 12 images" in label_maps
    assert "mIoU" in training and "crop" in training
    assert "0 errors" in coco and (folder / "output" / "fields_coco.json").exists()


def test_extending(folder):
    """The package of the page, installed by pip, trains in a process that knows of nothing else."""
    site = folder / "site"
    # The backbone is held for 4 of 6 iterations.
    training = ["SOLVER.MAX_ITER", "6", "MINE.HOLD_BACKBONE", "4", "SOLVER.CHECKPOINT_PERIOD", "2"]
    training += ["SOLVER.CHECKPOINTS_TO_KEEP", "3", "DATALOADER.NUM_WORKERS", "0"]

    def run(command: Command) -> str:
        if command.program == "pip":
            options = ["--no-deps", "--no-index", "--quiet", "--target", str(site)]
            return execute(["-m", "pip", *command.arguments, *options])
        arguments = [*command.arguments, *training]
        if "PYTHONPATH" in command.environment:
            arguments += ["OUTPUT_DIR", "output/module"]
            return output_of(arguments, folder, command.environment)
        return execute(arguments)

    def execute(arguments: list[str]) -> str:
        environment = {"PYTHONPATH": f"{site}{os.pathsep}{REPO}"}
        done = run_python(*arguments, folder=folder, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    environment = {"PYTHONPATH": str(site)}
    play("docs/extending.md", folder, run=run, check=False, environment=environment)
    for run_dir in ("grouped", "module"):
        _assert_all_five_acted(folder / "output" / run_dir)


def _assert_all_five_acted(run: Path) -> None:
    def weights(name: str) -> dict[str, torch.Tensor]:
        return torch.load(run / f"{name}.pth", weights_only=True)["model"]

    first, held, last = (weights(f"model_{i:07d}") for i in (2, 4, 6))
    backbone, head = "backbone.convs.0.weight", "sem_seg_head.predictor.weight"
    assert first[backbone].shape == (16, 3, 3, 3) and first[head].shape == (3, 64, 1, 1)
    assert "sem_seg_head.predictor.bias" not in first  # MINE.BIAS
    figures = [json.loads(line) for line in (run / "metrics.json").read_text().splitlines()][-1]
    assert figures["loss_sem_seg_brier"] > 0 and "loss_sem_seg_cross_entropy" in figures
    assert {"sem_seg/IoU-round", "sem_seg/IoU-cornered"} < figures.keys()
    assert (run / "evaluation" / "grouped_val").is_dir()
    assert torch.equal(first[backbone], held[backbone]) and figures["backbone_held"] == 0
    assert not torch.equal(held[backbone], last[backbone])
    assert not torch.equal(first[head], held[head])
